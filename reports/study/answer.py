"""What to use of a study's arms."""

from reports.answer import Asked, answer_of
from reports.page.model import Answer
from reports.study.nothing_differs import is_null


def study_answer(asked: Asked) -> Answer:
    """As the leaderboard has it; nothing to choose where all arms are one model."""
    if is_null(asked.results):
        told = "Every difference here is chance, which is what the study measures."
        return Answer("Use any: all arms are one model.", (told,))
    return answer_of(asked)
