import Architectures
import ByteIO
public import Diagnostics
import SystemPackage

/// The error for a tensor that a model needs and a checkpoint does not have. Before it says that a
/// file is missing, it looks at what is there.
extension Checkpoint {
  public func missing(_ name: String) -> Failure {
    let (code, message, hint) = diagnosis(of: name)
    return Failure(code, message, file: folder.path.string, tensor: name, hint: hint)
  }

  private func diagnosis(
    of name: String
  ) -> (code: Diagnostic.Code, message: String, hint: String) {
    let keys = tensors.flatMap { [$0.shards.first?.key ?? "", $0.name] }
    if names != .transformers, let found = keys.first(where: Checkpoint.isHuggingFace) {
      return (
        .checkpointHuggingFaceNames,
        "the checkpoint does not have it: its tensors have Hugging Face names already, such as "
          + "\"\(found)\"",
        "nothing is to be converted: DeepSpeed's zero_to_fp32.py, or torch.load and "
          + "save_pretrained, "
          + "write the model"
      )
    }
    if let found = keys.first(where: { $0.contains(".args.") || $0.hasSuffix(".state") }) {
      return (
        .checkpointUnknownTensor,
        "the checkpoint does not have it as a plain tensor; \"\(found)\" is held by an object of "
          + "another "
          + "library",
        "save it as plain tensors: tensor.detach().cpu().clone() for each"
      )
    }
    if let found = keys.first(where: { $0.hasSuffix("._scale_inv") || $0.hasSuffix("._data") }) {
      return (
        .checkpointUnknownTensor,
        "the checkpoint does not have it; \"\(found)\" is a part of a Float8 tensor",
        "save it with weights in a plain type"
      )
    }
    if !isWhole, let said = try? arguments.int(.tensorModelParallelSize) ?? 1,
      said > trainedTensorParallel
    {
      return (
        .checkpointMissingFiles,
        "the checkpoint does not have it, and only \(tensorParallel) of \(said) tensor-parallel "
          + "ranks "
          + "are there", "the dump is not whole: copy the missing files"
      )
    }
    if tensors.isEmpty {
      return (
        .checkpointNoWeights, "the checkpoint holds no tensors of a model",
        folder.layout == .deepspeed
          ? "the weights of a pipeline are in layer_XX-model_YY-model_states.pt: copy those, too"
          : "give the folder that holds the weights"
      )
    }
    let isKnown = tensors.contains { ParameterName.isOfModel($0.name) }
    if !isKnown {
      return (
        .checkpointUnknownModel,
        "the checkpoint does not have it; its tensors are "
          + PathAdvice.listed(tensors.map(\.name)),
        "they are not those of a Megatron GPT"
      )
    }
    let kind = name.drop { !$0.isNumber }.drop { $0.isNumber }
    let others = tensors.filter { $0.name.hasPrefix("layers.") && $0.name.hasSuffix(kind) }
    if name.hasPrefix("layers."), !kind.isEmpty, !others.isEmpty {
      return (
        .checkpointMissingTensor,
        "the checkpoint does not have it, although \(others.count) of \(blockCount) blocks have "
          + "theirs",
        "the dump is not whole: copy the file of this block again"
      )
    }
    if name.hasPrefix("layers."), !kind.isEmpty, blockCount > 0 {
      return (
        .checkpointMissingTensor, "no block of the checkpoint has it",
        "its tensors are "
          + "\(PathAdvice.listed(tensors.map(\.name).filter { $0.hasPrefix("layers.0.") }))"
      )
    }
    return (
      .checkpointMissingTensor, "the checkpoint does not have it",
      folder.layout == .deepspeedPipeline
        ? "the dump is not whole: copy the missing layer file"
        : "its tensors are \(PathAdvice.listed(tensors.map(\.name)))"
    )
  }

  /// Names of transformers' models: GPT-2, Llama and its like, GPT-NeoX, BERT, OPT, BLOOM.
  private static func isHuggingFace(_ key: String) -> Bool {
    [
      ".attn.c_attn.", ".mlp.c_fc.", ".self_attn.", ".mlp.gate_proj.", ".mlp.up_proj.",
      "gpt_neox.layers.", "bert.encoder.", "embed_tokens.", "transformer.wte.",
      "transformer.word_embeddings.", ".attention.self.", ".embed_in.",
    ].contains { key.contains($0) } || key == "wte.weight"
  }
}
