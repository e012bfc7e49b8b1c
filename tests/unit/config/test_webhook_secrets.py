"""What of a webhook's URL may be a secret is known, and its name is left to be read."""

from overshootd.config.sinks import secret_parts


def test_a_token_in_the_path_and_what_the_query_says_are_secret() -> None:
    assert secret_parts("https://hooks.example/services/T0/aaaaBBBBccccDDDDeeee?code=secret&empty=") == [
        "aaaaBBBBccccDDDDeeee",
        "secret",
    ]


def test_ordinary_words_are_not() -> None:
    assert secret_parts("https://example.com/hooks/camera") == []
