"""The description of a run in MLflow says what the evaluation comes to."""

from samples import SOURCE, evaluation

from cyclegan.report.description import description

GALLERIES = {"A_to_B": "artifact:evaluation/A.png", "B_to_A": "artifact:evaluation/B.png"}


def test_it_gives_both_verdicts_with_scores_first_then_weights_then_galleries() -> None:
    about = evaluation()
    parts = description(about, GALLERIES, "artifact:evaluation/report.html").split("\n\n")
    assert len(parts) == 7
    for part, arrow in zip(parts[:2], ("A → B", "B → A"), strict=True):
        assert part.startswith(f"**{arrow}: ")
        assert "copying the input (" in part
        assert " to " in part  # an interval
    assert parts[2].startswith("Scored: ")
    assert parts[2].endswith("[The whole report](artifact:evaluation/report.html)")
    assert [parts[4], parts[6]] == ["![A to B](artifact:evaluation/A.png)", "![B to A](artifact:evaluation/B.png)"]


def test_names_of_domains_are_words_and_not_markdown() -> None:
    about = evaluation(source={**SOURCE, "domain_A": "*a* <b>[x](http://y)"})
    said = description(about, GALLERIES, "r")
    assert r"\*a\* &lt;b&gt;\[x\]\(http://y\)" in said
