public import Pickle

/// The functions that a pickle names to describe a tensor (`torch/_utils.py`, `torch/_tensor.py`,
/// and those of other libraries). Their arguments are read as data; nothing is called.
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
  /// A function of another library, or of a later PyTorch: read where its arguments begin like
  /// those of a view and nothing else in them could change the values.
  case foreign

  /// The function of a name; `nil` for what makes no tensor as far as its name tells.
  init?(_ name: GlobalName) {
    if let known = RebuildFunction.table[name] {
      self = known
    } else if name.module.hasPrefix("torch."), name.name.hasPrefix("_rebuild_") {
      // A tensor of some kind that came later: it must not vanish.
      self = .foreign
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
    GlobalName("torch._utils", "_rebuild_qtensor"): .refused(.quantized),
    GlobalName("torch._utils",       "_rebuild_nested_tensor"):                 .refused(.nested),
    GlobalName("torch._utils",       "_rebuild_meta_tensor_no_storage"):        .refused(.meta),
    GlobalName("torch._utils", "_rebuild_wrapper_subclass"): .refused(.wrapperSubclass),
    GlobalName("torch._utils", "_rebuild_device_tensor_from_numpy"): .refused(.fromNumpy),
    GlobalName("torch._utils", "_rebuild_xla_tensor"): .refused(.fromNumpy),
    GlobalName("torch._utils", "_rebuild_mlc_tensor"): .refused(.fromNumpy),
  ]
}

extension TorchFile {
  /// The function that a call of `callable` stands for: a known one, or one that is not known and
  /// is given a storage, which makes what it returns a tensor; `nil` for all other objects.
  func rebuildFunction(_ object: PickleObject) -> RebuildFunction? {
    if let name = graph.global(object.callable), let known = RebuildFunction(name) { return known }
    let carriesStorage = (graph.tuple(object.arguments) ?? []).contains { isStorage($0) }
    return carriesStorage ? .foreign : nil
  }

  /// Whether a value refers to a storage of the file.
  func isStorage(_ id: NodeID) -> Bool {
    guard case .persistent(let reference) = graph[id], let first = graph.tuple(reference)?.first
    else { return false }
    return graph.text(first) == "storage"
  }

  /// The function of another library that made a tensor, by its full name; `nil` for those of
  /// PyTorch.
  public func foreignFunction(_ id: NodeID) -> String? {
    guard let object = graph.object(id), rebuildFunction(object) == .foreign else { return nil }
    return graph.global(object.callable)?.description ?? "an object"
  }

  /// Whether arguments after the strides say nothing that could change the values: flags, numbers,
  /// names, and containers with nothing in them.
  func areHarmless(_ arguments: some Sequence<NodeID>) -> Bool {
    arguments.allSatisfy { argument in
      switch graph[argument] {
      case .none, .bool, .int, .float, .string, .global: true
      default: graph.items(argument)?.isEmpty ?? graph.entries(argument)?.isEmpty ?? false
      }
    }
  }
}
