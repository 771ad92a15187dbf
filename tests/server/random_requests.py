"""Requests that are wrong in ways that nobody thought of: a good one, changed at random along its schema."""

import random

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

NUMBERS = [0, 1, -1, 2, 7, 63, 1000, 4097, 3_600_000, 3_600_001, 2**31 - 1, -2**31]
WIDE = [*NUMBERS, 2**31, 2**63 - 1, -2**63]
SIZES = [0, 1, 15, 16, 17, 31, 32, 33, 64, 5000]
TEXTS = ["", "x", "../etc/passwd", "/abs", "%2e%2e", "a\0b", "line\nbreak", "\u009f", "ü" * 600, "y" * 1024, "y" * 1025]
_INTEGERS = {Field.TYPE_INT32: NUMBERS, Field.TYPE_INT64: WIDE, Field.TYPE_ENUM: [0, 1, 5, 99],
             Field.TYPE_UINT32: [0, 1, 2**32 - 1], Field.TYPE_FIXED64: [0, 1, 2**64 - 1],
             Field.TYPE_BOOL: [False, True]}


def _leaf_count(field: Field) -> int:
    """Of all that lies below a field: each is as likely to be changed."""
    below = field.message_type.fields if field.message_type else ()
    return sum(map(_leaf_count, below)) or 1


class Mutator:
    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def changed(self, message: Message) -> Message:
        """A copy with one to three changes."""
        copy = type(message)()
        copy.CopyFrom(message)
        for _ in range(self.random.randint(1, 3)):
            self._change(copy)
        return copy

    def _change(self, message: Message) -> None:
        fields = message.DESCRIPTOR.fields
        field, = self.random.choices(fields, [_leaf_count(field) for field in fields])
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return
        if field.is_repeated:
            self._change_list(getattr(message, field.name), field)
        elif field.message_type is not None:
            if self.random.random() < 0.2:
                message.ClearField(field.name)
            elif message.HasField(field.name) or self.random.random() < 0.3:
                self._change(getattr(message, field.name))
        else:
            setattr(message, field.name, self._value(field))

    def _change_list(self, values, field: Field) -> None:
        act = self.random.choice([0, 1, 2, 2, 2, 3])
        if act == 0 and values:
            del values[self.random.randrange(len(values))]
        elif act == 1 and values:
            again = values[self.random.randrange(len(values))]
            values.add().CopyFrom(again) if field.message_type else values.append(again)
        elif field.message_type is not None:
            self._change(self.random.choice(values) if values and act == 2 else values.add())
        else:
            values.append(self._value(field))

    def _value(self, field: Field):
        if field.type == Field.TYPE_BYTES:
            return self.random.randbytes(self.random.choice(SIZES))
        if field.type == Field.TYPE_STRING:
            return self.random.choice(TEXTS)
        if field.type in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
            return self.random.choice([0.0, -1.0, 1.0, float("nan"), float("inf"), 1e300])
        return self.random.choice(_INTEGERS[field.type])
