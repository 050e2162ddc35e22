//! What the schema means for pages: columns, widths and indexes, worked out once a schema change.

use crate::redo::AttributeBits;
use vellum_engine::TreeId;
use vellum_engine::page::slots::Width;
use vellum_types::schema::{ObjectSchema, Schema, Status};
use vellum_types::value::{Elements, Form, ValueType};
use vellum_types::{AttributeId, ObjectId};

/// The schema with its layouts.
#[derive(Debug)]
pub struct Catalog {
    pub schema: Schema,
    objects: Vec<ObjectLayout>,
    /// Those of the schema's system objects.
    system: Vec<ObjectLayout>,
}

/// One object's trees and columns.
#[derive(Clone, Debug)]
pub struct ObjectLayout {
    pub id: ObjectId,
    pub tree: TreeId,
    /// By attribute id.
    pub attributes: Vec<AttributeLayout>,
    pub indexes: Vec<IndexLayout>,
    /// The attributes that some key has.
    pub indexed: AttributeBits,
    /// Whether some attribute has a default.
    pub has_defaults: bool,
    /// Whether some attribute is a number that the engine gives.
    pub has_sequences: bool,
    /// The object that keeps superseded values, where some are kept.
    pub history: Option<ObjectId>,
    /// Attributes that may name records of this object.
    pub referrers: Vec<(ObjectId, AttributeId)>,
    /// Whether a change of its records may be one of others: it refers to some, or is referred to.
    pub linked: bool,
}

/// One attribute's pages.
#[derive(Clone, Copy, Debug)]
pub struct AttributeLayout {
    pub id: AttributeId,
    /// First column of its pages.
    pub column: u32,
    /// `None`: views and a heap.
    pub width: Option<Width>,
    pub value_type: ValueType,
    /// How its values follow each other in a cell, where it has several and may be a key.
    pub elements: Option<Elements>,
    /// Whether some key has it.
    pub indexed: bool,
    pub required: bool,
    /// Whether it was deleted: its values are there and are shown to nobody.
    pub deleted: bool,
    /// Whether superseded values are kept.
    pub history: bool,
}

/// One unique key.
#[derive(Clone, Debug)]
pub struct IndexLayout {
    pub tree: TreeId,
    pub attributes: Vec<AttributeId>,
    pub primary: bool,
    /// Whether keys are made of the cells as they are: one value each, and no normal form.
    pub plain: bool,
}

impl Catalog {
    pub fn new(schema: Schema) -> Catalog {
        let mut objects: Vec<ObjectLayout> = schema.objects().iter().map(ObjectLayout::new).collect();
        for object in schema.objects() {
            for attribute in object.attributes().iter().filter(|a| a.value_type() == ValueType::Reference) {
                let allowed = attribute.refers_to();
                for target in objects.iter_mut().filter(|o| allowed.is_empty() || allowed.contains(&o.id)) {
                    target.referrers.push((object.id(), attribute.id()));
                    target.linked = true;
                }
            }
        }
        let system = schema.system_objects().map(ObjectLayout::new).collect();
        Catalog { schema, objects, system }
    }

    #[inline]
    pub fn object(&self, id: ObjectId) -> Option<&ObjectLayout> {
        match self.objects.get(usize::from(id.0)) {
            Some(object) => Some(object),
            None => self.system_object(id),
        }
    }

    #[cold]
    fn system_object(&self, id: ObjectId) -> Option<&ObjectLayout> {
        self.system.iter().find(|object| object.id == id)
    }

    /// The objects that callers see, by id.
    pub fn objects(&self) -> &[ObjectLayout] {
        &self.objects
    }

    /// All objects, those of the engine's own behind the others, each with its schema.
    pub fn all_objects(&self) -> impl Iterator<Item = (&ObjectLayout, &ObjectSchema)> {
        let callers = self.objects.iter().zip(self.schema.objects());
        callers.chain(self.system.iter().zip(self.schema.system_objects()))
    }
}

impl ObjectLayout {
    fn new(object: &ObjectSchema) -> ObjectLayout {
        let indexes: Vec<IndexLayout> = object
            .indexes()
            .iter()
            .map(|index| IndexLayout {
                tree: TreeId(index.tree()),
                attributes: index.attributes().to_vec(),
                primary: index.is_primary(),
                plain: index
                    .attributes()
                    .iter()
                    .filter_map(|id| object.attribute_by_id(*id))
                    .all(|attribute| !attribute.is_multi() && !attribute.value_type().has_normal_form()),
            })
            .collect();
        let attributes = object.attributes().iter().map(|attribute| AttributeLayout {
            id: attribute.id(),
            column: u32::from(attribute.column()) << 16,
            width: width(attribute.form()),
            value_type: attribute.value_type(),
            elements: attribute.elements(),
            indexed: indexes.iter().any(|index| index.attributes.contains(&attribute.id())),
            // An autonumber is given at the commit.
            required: attribute.is_required() && attribute.sequence().is_none(),
            deleted: attribute.standing() == Status::Deleted,
            history: object.has_history() || attribute.has_history(),
        });
        let attributes: Vec<AttributeLayout> = attributes.collect();
        let mut indexed = AttributeBits::default();
        attributes
            .iter()
            .filter(|attribute| attribute.indexed)
            .for_each(|attribute| indexed.add(attribute.id));
        let linked = attributes.iter().any(|attribute| attribute.value_type == ValueType::Reference);
        ObjectLayout {
            id: object.id(),
            tree: TreeId(object.tree()),
            attributes,
            indexes,
            indexed,
            has_defaults: object.attributes().iter().any(|attribute| attribute.default_value().is_some()),
            has_sequences: object.attributes().iter().any(|attribute| attribute.sequence().is_some()),
            history: object.history_trees.map(|_| object.id().history()),
            referrers: Vec::new(),
            linked,
        }
    }

    #[inline]
    pub fn attribute(&self, id: AttributeId) -> Option<&AttributeLayout> {
        self.attributes.get(usize::from(id.0))
    }
}

fn width(form: Form) -> Option<Width> {
    match form {
        Form::Bit => Some(Width::Bit),
        Form::Fixed4 => Some(Width::Four),
        Form::Fixed8 => Some(Width::Eight),
        Form::Fixed16 => Some(Width::Sixteen),
        Form::View => None,
    }
}
