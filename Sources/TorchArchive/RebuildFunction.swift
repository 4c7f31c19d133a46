import Pickle

/// The functions of PyTorch that a pickle names to describe a tensor (`torch/_utils.py`,
/// `torch/_tensor.py`). Their arguments are read as data; nothing is called.
enum RebuildFunction: Hashable {
  /// storage, offset, size, stride [, requires_grad, hooks [, metadata]]
  case view
  /// storage (bytes), offset, size, stride, requires_grad, hooks, dtype [, metadata]
  case typedView
  /// tensor, ...
  case wrapped
  /// function, type, arguments, state
  case ofType
  /// Not a view of one storage: refused.
  case refused(TorchFileError.Code)

  init?(_ name: GlobalName) {
    if let known = RebuildFunction.table[name] {
      self = known
    } else if name.module.hasPrefix("torch."), name.name.hasPrefix("_rebuild_") {
      // A tensor of some kind that came later: it must not vanish.
      self = .refused(.unknownRebuild)
    } else {
      return nil
    }
  }

  // swift-format-ignore
  private static let table: [GlobalName: RebuildFunction] = [
    GlobalName("torch._utils",       "_rebuild_tensor"):                        .view,
    GlobalName("torch._utils",       "_rebuild_tensor_v2"):                     .view,
    GlobalName("torch._utils",       "_rebuild_tensor_v3"):                     .typedView,
    GlobalName("torch._utils",       "_rebuild_parameter"):                     .wrapped,
    GlobalName("torch._utils",       "_rebuild_parameter_with_state"):          .wrapped,
    GlobalName("torch._utils",       "_rebuild_device_tensor_from_cpu_tensor"): .wrapped,
    GlobalName("torch.nn.parameter", "Parameter"):                              .wrapped,
    GlobalName("torch._tensor",      "_rebuild_from_type_v2"):                  .ofType,
    GlobalName("torch._tensor",      "_rebuild_from_type"):                     .ofType,
    GlobalName("torch.tensor",       "_rebuild_from_type"):                     .ofType,
    GlobalName("torch._utils",       "_rebuild_sparse_tensor"):                 .refused(.sparse),
    GlobalName("torch._utils",       "_rebuild_sparse_csr_tensor"):             .refused(.sparse),
    GlobalName("torch._utils",       "_rebuild_qtensor"):                       .refused(.quantized),
    GlobalName("torch._utils",       "_rebuild_nested_tensor"):                 .refused(.nested),
    GlobalName("torch._utils",       "_rebuild_meta_tensor_no_storage"):        .refused(.meta),
    GlobalName("torch._utils",       "_rebuild_wrapper_subclass"):              .refused(.wrapperSubclass),
    GlobalName("torch._utils",       "_rebuild_device_tensor_from_numpy"):      .refused(.fromNumpy),
    GlobalName("torch._utils",       "_rebuild_xla_tensor"):                    .refused(.fromNumpy),
    GlobalName("torch._utils",       "_rebuild_mlc_tensor"):                    .refused(.fromNumpy),
  ]
}
