"""SQuAD's JSON: articles of paragraphs of questions → a row a question, as the Hub has them."""

from collections.abc import Iterator
from typing import Any

from kubetune.errors import DataError

PARAGRAPHS = "paragraphs"


def is_article(row: dict[str, Any]) -> bool:
    """Whether an object is an article of SQuAD and no row."""
    return isinstance(row.get(PARAGRAPHS), list)


def questions(row: dict[str, Any], name: str, line: int) -> Iterator[dict[str, Any]]:
    """Yield the questions of an article: id, title, context, question, answers {text, answer_start}.

    A question that cannot be answered from its context (SQuAD 2.0) has empty lists.

    Raises:
        DataError: Something is not where SQuAD has it; names the line on which the article begins.
    """
    for number, paragraph in enumerate(row[PARAGRAPHS]):
        where = f"{name} line {line}, paragraph {number}"
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("context"), str):
            raise _broken(where, "has no text `context`")
        asked = paragraph.get("qas")
        if not isinstance(asked, list):
            raise _broken(where, "has no list `qas`")
        for question in asked:
            if not isinstance(question, dict) or not isinstance(question.get("question"), str):
                raise _broken(where, "has a question without a text `question`")
            title = row.get("title")
            yield {
                "id": str(question.get("id", "")),
                "title": title if isinstance(title, str) else "",
                "context": paragraph["context"],
                "question": question["question"],
                "answers": _answers(question, f"{where}, question {str(question.get('id', ''))[:60]!r}"),
            }


def _answers(question: dict[str, Any], where: str) -> dict[str, list[Any]]:
    given = question.get("answers", [])
    if not isinstance(given, list):
        raise _broken(where, "has no list `answers`")
    if question.get("is_impossible") and given:
        raise _broken(where, "is called impossible and has answers")
    for answer in given:
        start = answer.get("answer_start") if isinstance(answer, dict) else None
        if not isinstance(start, int) or not isinstance(answer.get("text"), str):
            raise _broken(where, "has an answer without `text` and `answer_start`")
    return {"text": [answer["text"] for answer in given], "answer_start": [answer["answer_start"] for answer in given]}


def _broken(where: str, what: str) -> DataError:
    return DataError("squad", f"{where} {what}: SQuAD has data[].paragraphs[] of context and qas[]; repair the file.")
