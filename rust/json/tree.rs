//! Values as trees.

use std::borrow::Cow;

use super::reader::{DUPLICATE, Kind};
use super::{JsonError, Reader, Value};

impl<'a> Reader<'a> {
    /// The next value, whole.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        Ok(match self.kind()? {
            Kind::Null => Value::Null,
            Kind::Word(truth) => Value::Bool(truth),
            Kind::Number => Value::Number(self.number()?),
            Kind::String => Value::String(self.string()?),
            Kind::Object => self.tree(depth, |reader, _, depth| reader.value(depth))?,
            Kind::Array => {
                let mut items = Vec::new();
                self.array(depth, |reader, depth| {
                    items.push(reader.value(depth)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
        })
    }

    /// The next value, an object, as a tree whose members another function reads.
    pub(crate) fn tree(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &str, usize) -> Result<Value<'a>, JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        let mut members = Vec::new();
        self.object(depth, |reader, depth| {
            let name = reader.name()?;
            reader.colon()?;
            let value = member(reader, &name, depth)?;
            members.push((name, value));
            Ok(())
        })?;
        if has_duplicate(&members) {
            return Err(DUPLICATE);
        }
        Ok(Value::Object(members))
    }
}

/// Up to this many names are compared pair by pair, which then is cheaper than sorting.
const FEW_MEMBERS: usize = 16;

fn has_duplicate(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    if members.is_sorted_by(|(before, _), (after, _)| before < after) {
        return false;
    }
    if members.len() <= FEW_MEMBERS {
        return members.iter().enumerate().any(|(index, (name, _))| {
            members
                .iter()
                .skip(index + 1)
                .any(|(other, _)| name == other)
        });
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    !names.is_sorted_by(|before, after| before < after)
}
