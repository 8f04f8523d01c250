"""The official CycleGAN archives: sizes, and the SHA-256 digests that TensorFlow Datasets lists."""

from dataclasses import dataclass

HOST = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"


@dataclass(frozen=True)
class Archive:
    """An archive NAME.zip with NAME/{trainA,trainB,testA,testB}/, and what its domains show."""

    size: int  # bytes
    sha256: str
    domain_A: str
    domain_B: str


ARCHIVES = {
    "apple2orange": Archive(
        78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", "apples", "oranges"
    ),
    "cezanne2photo": Archive(
        279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", "paintings by Cézanne", "photographs"
    ),
    "facades": Archive(
        35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", "façades", "their label maps"
    ),
    "horse2zebra": Archive(
        116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", "horses", "zebras"
    ),
    "iphone2dslr_flower": Archive(
        339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", "flowers by phone", "flowers by DSLR"
    ),
    "maps": Archive(
        1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", "aerial photographs", "maps"
    ),
    "monet2photo": Archive(
        305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", "paintings by Monet", "photographs"
    ),
    "summer2winter_yosemite": Archive(
        132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", "Yosemite in summer", "in winter"
    ),
    "ukiyoe2photo": Archive(
        292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", "ukiyo-e prints", "photographs"
    ),
    "vangogh2photo": Archive(
        306590349,
        "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
        "paintings by Van Gogh",
        "photographs",
    ),
}
