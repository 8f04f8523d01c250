import pytest

from cyclegan.evaluation import catalogue


@pytest.mark.parametrize(
    ("name", "title", "better"),
    [
        ("fid_legacy_test", "FID (legacy), test", "lower"),
        ("kid_x1000_val", "KID x 1000, val", "lower"),
        ("fid_clean_resnet50_all", "FID (clean), resnet50, all", "lower"),
        ("pair_psnr", "pair PSNR, dB", "higher"),
        ("copy_l1", "distance from input", None),
    ],
)
def test_a_name_says_its_protocol(name: str, title: str, better: str | None) -> None:
    found = catalogue.metric(name)
    assert (found.title, found.better) == (title, better)


@pytest.mark.parametrize("name", ["fid", "fid_clean", "fid_clean_other", "pair_l1_test"])
def test_a_name_without_a_protocol_is_none(name: str) -> None:
    with pytest.raises(KeyError):
        catalogue.metric(name)
