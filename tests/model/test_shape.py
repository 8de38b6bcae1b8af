import pytest
from made_config import AFRIBERTA
from transformers import AutoModelForTokenClassification, XLMRobertaConfig

from dinku.errors import DinkuError
from dinku.model.shape import Shape
from dinku.nn import surgery
from dinku.testing import tiny_tagger


@pytest.mark.parametrize(("layers", "millions"), [(4, 82.52), (6, 96.70), (8, 110.87), (10, 125.05)])
def test_arithmetic_gives_the_published_sizes_of_afriberta(layers: int, millions: float) -> None:
    shape = Shape.of_config({**AFRIBERTA, "num_hidden_layers": layers})
    assert round(shape.parameters / 1e6, 2) == millions
    assert shape.bytes == 4 * shape.parameters
    assert sum(c.parameters for c in shape.components) == shape.parameters
    if layers == 10:
        assert round(shape.bytes / 1e6, 1) == 500.2
        assert round(100 * shape.parts["word embeddings"] / shape.parameters) == 43
        # sixty per cent of the linear layers is a third of all weights (PAPER: 34 %)
        assert round(60 * sum(shape.weights(embeddings=False)) / shape.parameters) == 34


def test_arithmetic_equals_the_model_that_transformers_builds() -> None:
    config = XLMRobertaConfig(
        **{k: v for k, v in AFRIBERTA.items() if k not in ("architectures",)}, num_hidden_layers=1
    )
    model = AutoModelForTokenClassification.from_config(config)
    measured = surgery.shape_of(model, tags=9)
    assert measured.parameters == Shape.of_config({**AFRIBERTA, "num_hidden_layers": 1}).parameters


@pytest.mark.parametrize(
    ("family", "tokenizer"),
    [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")],
)
def test_every_family_is_measured_with_and_without_a_head(family: str, tokenizer: str) -> None:
    headed, bare = tiny_tagger(family, tokenizer), tiny_tagger(family, tokenizer, tags=())
    masked = tiny_tagger(family, tokenizer, masked_lm=True)
    for tagger in (headed, bare, masked):
        assert tagger.shape.parameters == sum(p.numel() for p in tagger.model.parameters())
    assert bare.shape.with_tags(5).parameters == headed.shape.parameters
    assert headed.shape.with_tags(0).parameters == masked.shape.with_tags(0).parameters == bare.shape.parameters
    assert headed.shape.with_masked_lm().parameters == bare.shape.with_masked_lm().parameters == masked.shape.parameters
    h, rows = bare.shape.hidden, bare.shape.vocabulary
    assert {c.name: c.parameters for c in masked.shape.components}["masked-LM head"] == h * h + h + 2 * h + rows
    assert sum(bare.shape.weights(embeddings=False)) == sum(w.numel() for w in surgery.matrices(bare.model).values())


def test_multiply_adds_of_one_layer_by_hand() -> None:
    shape = Shape.of_config(
        {
            "model_type": "bert",
            "hidden_size": 4,
            "num_attention_heads": 2,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
        }
    )
    # three subwords: four projections, two products of attention, two of the feed-forward part
    assert shape.multiply_adds(3) == 3 * (4 * 16 + 2 * 32) + 2 * 3 * 3 * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model_type": "gpt2"},
            "'gpt2' is a decoder, which reads each word without those after it; use one of ALBERT, BERT",
        ),
        ({"hidden_size": 0}, "hidden_size is 0, not a number from 1 to 10,000,000"),
        ({"hidden_size": "768"}, "hidden_size is '768', not a number from 1 to"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, not a number from 1 to 1,000"),
        ({"num_attention_heads": 7}, "hidden size 768 isn't a multiple of 7 heads"),
    ],
)
def test_a_config_that_is_none_is_told_so(change: dict[str, object], words: str) -> None:
    with pytest.raises(DinkuError, match=words) as caught:
        Shape.of_config({**AFRIBERTA, "num_hidden_layers": 2, **change}, where="here/config.json")
    assert str(caught.value).startswith("here/config.json: ")
