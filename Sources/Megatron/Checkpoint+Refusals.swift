import Architectures
import ByteIO
public import Diagnostics
import SystemPackage

/// What keeps a checkpoint of any family from being converted: marks of programs that change what a
/// model computes, beside its arguments and tensors, and an order of rows that nothing records.
extension Checkpoint {
  /// Every reason; none for nearly all checkpoints.
  public var refusals: [Diagnostic] {
    var result: [Diagnostic] = []
    if let trace = traceOfModelOptimizer {
      result.append(
        Diagnostic(
          .model("modelopt"),
          "\(trace) is of NVIDIA's Model Optimizer: the weights were trained or calibrated for a "
            + "quantized, pruned or otherwise changed function", file: folder.path.string))
    }
    let isLocal = FileSystem.absolute(folder.path).components.contains {
      $0.string == "non_persistent"
    }
    if isLocal {
      result.append(
        Diagnostic(
          .model("non-persistent"),
          "it lies in a folder of checkpoints that are not kept (non_persistent)",
          file: folder.path.string, hint: "take a step that was saved for good"))
    }
    let degree = ((try? arguments.int(.tensorModelParallelSize)) ?? nil) ?? 2
    if areGatesUnproven, degree > 1, ((try? arguments.bool(.swiglu)) ?? nil) == true {
      result.append(
        Diagnostic(
          .model("glu"),
          "gates and upward projections of \(degree) ranks were put together without "
            + "param_n_sub_params: in which order they lie is not recorded",
          file: folder.path.string,
          hint: "convert the checkpoint that the universal one was made of"))
    }
    return result
  }

  /// What shows that NVIDIA's Model Optimizer changed the model (Megatron-LM
  /// `post_training/checkpointing.py`).
  private var traceOfModelOptimizer: String? {
    if let name = tensors.first(where: { $0.name.contains("_quantizer.") })?.name {
      return "the tensor \(name)"
    }
    if let key = stateKeys.first(where: { $0.hasPrefix("modelopt_state") }) {
      return "the key \(key)"
    }
    for (place, name) in [
      (folder.path, "modelopt_state"), (folder.path, "modelopt_run_config.yaml"),
      (folder.root, "modelopt_run_config.yaml"),
    ] where FileSystem.exists(place.appending(name)) {
      return name
    }
    return nil
  }
}
