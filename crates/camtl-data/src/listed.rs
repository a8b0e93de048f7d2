//! Lists of things that have a file each: one line in a list gives the enum's variant, its place among `ALL`, its name in
//! task files and its way to the file's definition.

/// Declares an enum whose variants are defined in a module each, by its constant `$DEFINITION`.
///
/// The definition has a field `spelling` (the name in task files) and a method `is_called` (every accepted name).
macro_rules! listed {
    (
        $(#[$about:meta])*
        $vis:vis enum $Name:ident: $Definition:ty = $DEFINITION:ident, expecting $what:literal {
            $( $(#[doc = $doc:literal])+ $Variant:ident in $module:ident, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        $vis enum $Name {
            $( $(#[doc = $doc])+ $Variant, )+
        }

        impl $Name {
            /// All of them, in the order of declaration.
            $vis const ALL: &'static [Self] = &[$(Self::$Variant),+];
            /// How task files spell them, in the same order.
            pub(crate) const SPELLINGS: &'static [&'static str] = &[$($module::$DEFINITION.spelling),+];

            pub(crate) fn definition(self) -> &'static $Definition {
                match self {
                    $( Self::$Variant => &$module::$DEFINITION, )+
                }
            }

            fn called(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.definition().is_called(name))
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.definition().spelling)
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Named;

                impl serde::de::Visitor<'_> for Named {
                    type Value = $Name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$Name, E> {
                        $Name::called(name).ok_or_else(|| E::unknown_variant(name, $Name::SPELLINGS))
                    }
                }

                deserializer.deserialize_str(Named)
            }
        }
    };
}
pub(crate) use listed;
