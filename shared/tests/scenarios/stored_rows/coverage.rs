//! Reads a value with serde and records which names its stored form can hold, and which it does
//! hold.
//!
//! A derived `Deserialize` announces the names of a struct's fields and of an enum's variants
//! before it reads them. So the list of possible names needs no upkeep: the type itself announces a
//! new field.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Error, Value};

/// Names as `Type::name`; a variant's field as `Type::variant::name`.
#[derive(Default)]
pub(crate) struct Coverage {
    announced: RefCell<BTreeSet<String>>,
    stored: RefCell<BTreeSet<String>>,
}

impl Coverage {
    /// Reads a value and notes its names.
    pub(crate) fn read<T: DeserializeOwned>(&self, value: &Value) -> T {
        T::deserialize(Traced { value, coverage: self, variant: None }).unwrap()
    }

    /// The names that no row holds.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.announced.borrow().difference(&self.stored.borrow()).cloned().collect()
    }

    fn announce(&self, of: &str, names: &[&str]) {
        self.announced.borrow_mut().extend(names.iter().map(|name| format!("{of}::{name}")));
    }

    fn store(&self, of: &str, name: &str) {
        self.stored.borrow_mut().insert(format!("{of}::{name}"));
    }
}

/// A JSON value that is read, and where.
#[derive(Clone)]
struct Traced<'a> {
    value: &'a Value,
    coverage: &'a Coverage,
    /// Inside an enum: which variant.
    variant: Option<String>,
}

impl<'a> Traced<'a> {
    fn inner(&self, value: &'a Value) -> Traced<'a> {
        Traced { value, coverage: self.coverage, variant: None }
    }

    fn fields(&self, of: &str, names: &[&str]) {
        self.coverage.announce(of, names);
        for (name, value) in self.value.as_object().unwrap() {
            if !value.is_null() {
                self.coverage.store(of, name);
            }
        }
    }
}

/// Types without names of their own are read as `serde_json` reads them.
macro_rules! plain {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.value.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Traced<'de> {
    type Error = Error;

    plain! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let elements = self.value.as_array().unwrap().iter().map(|value| self.inner(value));
        visitor.visit_seq(Elements(elements.collect::<Vec<_>>().into_iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.value.as_object().unwrap().iter();
        let entries: Vec<_> =
            entries.map(|(key, value)| (key.as_str(), self.inner(value))).collect();
        visitor.visit_map(Entries { entries: entries.into_iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields(name, fields);
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.coverage.announce(name, variants);
        let (variant, value) = match self.value {
            Value::String(variant) => (variant.as_str(), &Value::Null),
            other => {
                let (variant, value) = other.as_object().unwrap().iter().next().unwrap();
                (variant.as_str(), value)
            }
        };
        self.coverage.store(name, variant);
        visitor
            .visit_enum(Traced { variant: Some(format!("{name}::{variant}")), ..self.inner(value) })
    }
}

impl<'de> EnumAccess<'de> for Traced<'de> {
    type Error = Error;
    type Variant = Traced<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Traced<'de>), Error> {
        let variant = self.variant.clone().unwrap();
        let (_, name) = variant.rsplit_once("::").unwrap();
        let name: StringDeserializer<Error> = name.to_owned().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Traced<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        assert!(self.value.is_null());
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.inner(self.value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields(self.variant.as_ref().unwrap(), fields);
        self.deserialize_map(visitor)
    }
}

struct Elements<'a>(std::vec::IntoIter<Traced<'a>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.0.next().map(|element| seed.deserialize(element)).transpose()
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(&'a str, Traced<'a>)>,
    value: Option<Traced<'a>>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.value.take().unwrap())
    }
}
