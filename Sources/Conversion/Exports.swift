// A conversion takes and gives types of these targets: one import has them all.
@_exported public import Architectures
@_exported public import Diagnostics
@_exported public import HuggingFace
@_exported public import Megatron
@_exported public import Safetensors
