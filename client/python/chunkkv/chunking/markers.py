"""How the beginnings and ends of chat turns are written."""

from __future__ import annotations

import re

_BAR = r"(?:\||｜)"
_ROLE = "user|assistant|system|developer|tool|observation|human|bot"
_OPENING = (rf"<{_BAR}(?:im_start|start_header_id|header_start|start_of_role|start|start_of_turn_token|{_ROLE}){_BAR}>"
            r"|<start_of_turn>|\[INST\]|\[SYSTEM_PROMPT\]|\[AVAILABLE_TOOLS\]|\[TOOL_RESULTS\]|\[TOOL_CALLS\]")
_CLOSING = (rf"<{_BAR}(?:im_end|eot_id|eom_id|eot|eom|end|return|call|end_of_turn|end_of_turn_token|end_of_text"
            rf"|endoftext|end▁of▁sentence){_BAR}>|<end_of_turn>|</s>|<eos>"
            r"|\[/INST\]|\[/SYSTEM_PROMPT\]|\[/AVAILABLE_TOOLS\]|\[/TOOL_RESULTS\]")
_BEGIN_OF_TEXT = rf"<s>|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<BOS_TOKEN>|<{_BAR}begin▁of▁sentence{_BAR}>"

FIRST_BYTES = b"<["
"""What every mark that is written out begins with."""
OPENING_TEXT = re.compile(f"(?i:{_OPENING})".encode())
"""A turn's beginning written out, in UTF-8."""
CLOSING_TEXT = re.compile(f"(?i:{_CLOSING})".encode())
"""A turn's end written out, in UTF-8."""
ROLE_TEXT = re.compile(rb"(?:#{1,4} ?)?(?:\*\*)?"
                       rb"(?:User|USER|user|Assistant|ASSISTANT|assistant|Human|AI|Model|System|SYSTEM"
                       rb"|Instruction|Response|Input)(?:\*\*)?:")
"""A speaker's name, which begins a turn at a line's start."""

_opening = re.compile(f"(?i:{_OPENING})|{_BEGIN_OF_TEXT}")
_closing = re.compile(f"(?i:{_CLOSING})")


def is_opening(content: str) -> bool:
    """Whether a special token begins a turn or the text."""
    return _opening.fullmatch(content) is not None


def is_closing(content: str) -> bool:
    """Whether a special token ends a turn or the text."""
    return _closing.fullmatch(content) is not None
