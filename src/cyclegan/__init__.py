"""CycleGAN: unpaired image-to-image translation with traceable runs, honest numbers and verified generators."""

__version__ = "0.1.0"
