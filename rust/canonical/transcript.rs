//! From JSON text to its canonical form in one pass, without a tree of it.
//!
//! The reader copies the text, and what is not canonical is rewritten on the way: white space, escapes,
//! fractions. Only the order of the members is not known before an object ends. So the copy keeps the
//! order of the text, a list says which objects are out of order, and at the end each byte is moved
//! once more, if there are any: linear time, however deep they nest.

use std::borrow::Cow;
use std::mem::{replace, take};
use std::ops::Range;

use super::{order, write_double, write_string};
use crate::json::{DUPLICATE, Form, JsonError, Kind, Reader, SHORT, append};

/// The canonical form of the next value.
pub(super) fn write(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<u8>, JsonError> {
    let mut transcript = Transcript::with_capacity(reader.remaining());
    reader.begin_copy();
    transcript.value(reader, depth)?;
    let text = reader.end_copy();
    Ok(if transcript.objects.is_empty() {
        text
    } else {
        transcript.reorder(&text)
    })
}

struct Transcript<'a> {
    /// The members, read to their end, of the objects that are open.
    open: Vec<(Cow<'a, str>, Member)>,
    /// The objects out of order, and objects that hold such, by where they begin.
    objects: Vec<Object>,
    /// The members of the objects that are out of order, those of each in their right order.
    sorted: Vec<Member>,
}

/// Where a member is in the copy, and which object is the first in it.
#[derive(Default)]
struct Member {
    text: Range<usize>,
    object: usize,
}

/// Where an object is in the copy, what its members are if they are out of order, and which object is
/// the first after it.
#[derive(Default)]
struct Object {
    text: Range<usize>,
    members: Range<usize>,
    next: usize,
}

impl<'a> Transcript<'a> {
    /// With room for the members of a text of this many bytes, which saves small ones from growing.
    fn with_capacity(bytes: usize) -> Self {
        let members = (bytes / 24).min(64);
        Self {
            open: Vec::with_capacity(members / 4),
            objects: Vec::with_capacity(members / 4),
            sorted: Vec::with_capacity(members),
        }
    }

    #[inline(always)]
    fn value(&mut self, reader: &mut Reader<'a>, depth: usize) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Array => self.array(reader, depth),
            Kind::Object => self.object(reader, depth),
            Kind::Number => copy_number(reader),
            Kind::String => copy_string(reader),
            Kind::Null | Kind::Word(_) => Ok(()),
        }
    }

    fn array(&mut self, reader: &mut Reader<'a>, depth: usize) -> Result<(), JsonError> {
        reader.array(depth, |reader, depth| self.value(reader, depth))
    }

    fn object(&mut self, reader: &mut Reader<'a>, depth: usize) -> Result<(), JsonError> {
        let (start, index, first) = (reader.copied(), self.objects.len(), self.open.len());
        self.objects.push(Object::default());
        reader.object(depth, |reader, depth| {
            let (start, object) = (reader.copied(), self.objects.len());
            let name = copy_name(reader)?;
            reader.colon()?;
            self.value(reader, depth)?;
            let text = start..reader.copied();
            self.open.push((name, Member { text, object }));
            Ok(())
        })?;
        let members = self.sort(first)?;
        if members.is_empty() && self.objects.len() == index + 1 {
            self.objects.pop();
            return Ok(());
        }
        let (text, next) = (start..reader.copied(), self.objects.len());
        if let Some(object) = self.objects.get_mut(index) {
            *object = Object {
                text,
                members,
                next,
            };
        }
        Ok(())
    }

    /// The members of the innermost open object, if they have to be moved. Names that strictly rise
    /// also are all different.
    fn sort(&mut self, first: usize) -> Result<Range<usize>, JsonError> {
        let from = self.sorted.len();
        let members = self.open.get_mut(first..).unwrap_or_default();
        if !members.is_sorted_by(|(a, _), (b, _)| order(a, b).is_lt()) {
            members.sort_unstable_by(|(a, _), (b, _)| order(a, b));
            if !members.is_sorted_by(|(a, _), (b, _)| a != b) {
                return Err(DUPLICATE);
            }
            self.sorted
                .extend(members.iter_mut().map(|(_, member)| take(member)));
        }
        self.open.truncate(first);
        Ok(from..self.sorted.len())
    }

    fn reorder(&self, text: &[u8]) -> Vec<u8> {
        let mut form = Vec::with_capacity(text.len() + SHORT);
        self.emit(
            text,
            &Member {
                text: 0..text.len(),
                object: 0,
            },
            &mut form,
        );
        form
    }

    /// Copies a part of the text, the objects out of order in it member by member.
    fn emit(&self, text: &[u8], part: &Member, form: &mut Vec<u8>) {
        let mut position = part.text.start;
        let mut index = part.object;
        while let Some(object) = self
            .objects
            .get(index)
            .filter(|object| object.text.start < part.text.end)
        {
            index += 1;
            if object.members.is_empty() {
                continue;
            }
            append(form, text, position..object.text.start);
            let mut separator = b'{';
            for member in self.sorted.get(object.members.clone()).unwrap_or_default() {
                form.push(replace(&mut separator, b','));
                self.emit(text, member, form);
            }
            form.push(b'}');
            position = object.text.end;
            index = object.next;
        }
        append(form, text, position..part.text.end);
    }
}

#[inline(always)]
fn copy_name<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, JsonError> {
    let start = reader.position();
    let name = reader.name()?;
    rewrite_string(reader, start, &name);
    Ok(name)
}

fn copy_string(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    let start = reader.position();
    let text = reader.string()?;
    rewrite_string(reader, start, &text);
    Ok(())
}

/// What was written without escapes needs none.
#[inline(always)]
#[allow(clippy::ptr_arg)] // what it asks is whether the string is borrowed
fn rewrite_string<'a>(reader: &mut Reader<'a>, start: usize, text: &Cow<'a, str>) {
    if let Cow::Owned(text) = text {
        reader.rewrite(start, |form| write_string(form, text));
    }
}

/// Integers keep their digits; all other numbers are written as doubles.
fn copy_number(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    let start = reader.position();
    let number = reader.number()?;
    let literal = number.literal();
    let known = match number.form() {
        Form::Integer => Some(literal),
        Form::Fraction => shortest(literal),
        Form::Exponent => None,
    };
    match known {
        Some("-0") => reader.rewrite(start, |form| form.push(b'0')),
        Some(same) if same.len() == literal.len() => {}
        Some(shorter) => reader.rewrite(start, |form| form.extend_from_slice(shorter.as_bytes())),
        None => reader.rewrite(start, |form| write_double(form, number.as_f64())),
    }
    Ok(())
}

/// A decimal fraction as `write_double` would write it, where no conversion is needed to tell.
///
/// No two decimals of at most 15 significant digits share a double, so the shortest text of the
/// double is the literal itself without the zeros at its end, unless it is below 10^-6. Its integer part
/// has at most 14 digits, so it is below 2^53.
fn shortest(literal: &str) -> Option<&str> {
    let digits = literal.trim_end_matches('0');
    let tiny = digits.trim_start_matches('-').starts_with("0.000000");
    (literal.len() <= 16 && !tiny).then(|| digits.strip_suffix('.').unwrap_or(digits))
}
