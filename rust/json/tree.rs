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

    /// The next value, read as strictly as by [`Self::value`]; an array or an object comes out empty.
    pub(crate) fn outline(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        Ok(match self.kind()? {
            Kind::Null => Value::Null,
            Kind::Word(truth) => Value::Bool(truth),
            Kind::Number => Value::Number(self.number()?),
            Kind::String => Value::String(self.string()?),
            Kind::Object => {
                self.members(depth, &mut Vec::new(), |reader, _, names, depth| {
                    reader.pass(depth, names)
                })?;
                Value::Object(Vec::new())
            }
            Kind::Array => {
                self.array(depth, |reader, depth| reader.pass(depth, &mut Vec::new()))?;
                Value::Array(Vec::new())
            }
        })
    }

    /// Passes over the next value, read as strictly as by [`Self::value`]. `names` holds those of the
    /// objects that are open: one list for all of them saves an allocation for each.
    pub(crate) fn pass(
        &mut self,
        depth: usize,
        names: &mut Vec<Cow<'a, str>>,
    ) -> Result<(), JsonError> {
        match self.kind()? {
            Kind::Null | Kind::Word(_) => Ok(()),
            Kind::Number => self.number().map(drop),
            Kind::String => self.string().map(drop),
            Kind::Array => self.array(depth, |reader, depth| reader.pass(depth, names)),
            Kind::Object => self.members(depth, names, |reader, _, names, depth| {
                reader.pass(depth, names)
            }),
        }
    }

    /// The next value, an object, whose values another function reads.
    pub(crate) fn members(
        &mut self,
        depth: usize,
        names: &mut Vec<Cow<'a, str>>,
        mut value: impl FnMut(&mut Self, &str, &mut Vec<Cow<'a, str>>, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let first = names.len();
        self.object(depth, |reader, depth| {
            let name = reader.name()?;
            reader.colon()?;
            value(reader, &name, names, depth)?;
            names.push(name);
            Ok(())
        })?;
        let own = names.get(first..).unwrap_or_default();
        if has_duplicate(own, |name| name) {
            return Err(DUPLICATE);
        }
        names.truncate(first);
        Ok(())
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
        if has_duplicate(&members, |(name, _)| name) {
            return Err(DUPLICATE);
        }
        Ok(Value::Object(members))
    }
}

/// Up to this many names are compared pair by pair, which then is cheaper than sorting.
const FEW_MEMBERS: usize = 16;

fn has_duplicate<T>(members: &[T], name: impl Fn(&T) -> &str) -> bool {
    if members.is_sorted_by(|before, after| name(before) < name(after)) {
        return false;
    }
    if members.len() <= FEW_MEMBERS {
        return members.iter().enumerate().any(|(index, member)| {
            members
                .iter()
                .skip(index + 1)
                .any(|other| name(member) == name(other))
        });
    }
    let mut names: Vec<&str> = members.iter().map(name).collect();
    names.sort_unstable();
    !names.is_sorted_by(|before, after| before < after)
}
