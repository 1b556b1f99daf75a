"""A question and a context become the messages of a chat, and their tokens are counted.

The context stands between tags that carry a number made from the context itself. A document
that was written to end the passages and to give orders cannot know that number.
"""

import hashlib
import itertools
from collections.abc import Sequence

from rag import prompts
from rag.errors import WindowExceeded
from rag.terms import language
from rag.types import Context, Count, Message

MESSAGE_TOKENS = 7
"""Tokens that a server's chat template puts around a message. OpenAI's own takes 4 with the
role ("How to count tokens with tiktoken", OpenAI cookbook), ChatML of Qwen 5
(``<|im_start|>role\\n…<|im_end|>\\n``), Llama 3 5 (``<|start_header_id|>role
<|end_header_id|>\\n\\n…<|eot_id|>``); the rest is kept for templates that add a little more.
The beginning of the reply is counted as one message more."""
JOINT_TOKENS = 8
"""Tokens that may come on top where the context is put into the template: counts do not add
up exactly. By o200k_base the two joints never cost more than 2."""


def build_messages(
    question: str, context: Context, *, history: Sequence[Message] = ()
) -> list[Message]:
    """Build the prompt that asks a chat model to answer from a context.

    Parameters
    ----------
    question : its language, English or Chinese, is that of the instructions.
    context : its text is put in word for word.
    history : earlier questions and answers of the chat, oldest first.

    Returns
    -------
    list of Message
        The instructions, the history, and the passages with the question.

    Raises
    ------
    ValueError
        The history holds a system message: instructions come from `rag.prompts` alone.
    """
    if any(message.role == "system" for message in history):
        message = "history holds a system message; give questions and answers only"
        raise ValueError(message)
    spoken = language(question)
    boundary = _boundary(context.text)
    instructions = prompts.SYSTEM[spoken].format(
        boundary=boundary, refusal=prompts.REFUSALS[spoken]
    )
    asked = prompts.USER[spoken].format(
        boundary=boundary, context=context.text, question=question.strip()
    )
    return [
        Message(role="system", content=instructions),
        *history,
        Message(role="user", content=asked),
    ]


def count_prompt(messages: Sequence[Message], *, count: Count) -> int:
    """Count the tokens of a prompt, what a chat template adds included."""
    texts = sum(count(message.content) for message in messages)
    return texts + MESSAGE_TOKENS * (len(messages) + 1)


def room_for_context(
    question: str,
    *,
    window: int,
    reply_tokens: int,
    count: Count,
    history: Sequence[Message] = (),
) -> int:
    """Tell how many tokens ``Context.text`` may have for the prompt to fit a window.

    Parameters
    ----------
    window : tokens that the model takes, prompt and reply together.
    reply_tokens : tokens kept free for the reply.
    count : counts the chat model's tokens.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    WindowExceeded
        The instructions, the history, the question and the reply leave nothing.
    """
    nothing = Context(text="", passages=(), tokens=0, budget=1, dropped=())
    prompt = count_prompt(build_messages(question, nothing, history=history), count=count)
    needed = prompt + JOINT_TOKENS + reply_tokens + 1
    if needed > window:
        raise exceeded(needed=needed, window=window, reply_tokens=reply_tokens)
    return window - needed + 1


def exceeded(*, needed: int, window: int, reply_tokens: int) -> WindowExceeded:
    """Say that a prompt does not fit, and what would help."""
    message = (
        f"the prompt takes {needed} tokens with {reply_tokens} kept for the reply, and the "
        f"model's window is {window}; shorten the question, lower synthesis.reply_tokens, or "
        "raise synthesis.window if the model takes more"
    )
    return WindowExceeded(message, needed=needed, window=window)


def _boundary(text: str) -> str:
    """Make a number that stands nowhere in a context.

    Six digits cost the same number of tokens whatever they are (o200k_base takes digits by
    threes, others one by one), so a prompt can be counted before its context is known.
    """
    numbers = (_six_digits(f"{attempt}\0{text}") for attempt in itertools.count())
    return next(number for number in numbers if number not in text)


def _six_digits(text: str) -> str:
    hashed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return f"{int.from_bytes(hashed, 'big') % 1_000_000:06}"
