/// The kinds of files and folders that trainers leave behind, by the forms of their names.
package enum CheckpointFileKind: String, Hashable, Sendable {
  /// One layer of a pipeline module on one tensor-parallel rank.
  case layer
  /// The state of one model-parallel rank: arguments, and the weights when there is no pipeline.
  case modelStates
  /// The same for ZeRO-3, one for each data-parallel rank.
  case zeroModelStates
  /// Optimizer state of one data-parallel rank.
  case optimizerStates
  /// A mixture of experts.
  case expert
  /// A folder of one rank of classic Megatron-LM.
  case rankFolder
  /// A file of classic Megatron-LM.
  case rankFile
  /// The folder of parameters of a universal checkpoint.
  case universalFolder
  /// A part of a checkpoint of Megatron-core.
  case distributed
  /// A folder of one step of DeepSpeed.
  case stepFolder
  /// A folder of one iteration of classic Megatron-LM.
  case iterationFolder

  // swift-format-ignore
  private static let table: [(form: FilePattern, kind: CheckpointFileKind)] = [
    // DeepSpeed runtime/pipe/module.py, ckpt_layer_path
    (FilePattern("layer_{layer}-model_{tp}-model_states.pt"),               .layer),
    // DeepSpeed runtime/engine.py, _get_ckpt_name
    (FilePattern("mp_rank_{mp}_model_states.pt"),                           .modelStates),
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}_model_states.pt"),         .zeroModelStates),
    // DeepSpeed runtime/engine.py, _get_zero_ckpt_prefix
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}_optim_states.pt"),         .optimizerStates),
    (FilePattern("bf16_zero_pp_rank_{dp}_mp_rank_{mp}_optim_states.pt"),    .optimizerStates),
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}optim_states.pt"),          .optimizerStates),
    // DeepSpeed runtime/engine.py, _get_expert_ckpt_name
    (FilePattern("layer_{layer}_expert_{e}_mp_rank_{mp}_model_states.pt"),  .expert),
    (FilePattern("expert_{e}_mp_rank_{mp}_model_states.pt"),                .expert),
    (FilePattern("expp_rank_{e}_mp_rank_{mp}_optim_states.pt"),             .expert),
    // Megatron-LM checkpointing.py, get_checkpoint_name
    (FilePattern("mp_rank_{tp}"),                                           .rankFolder),
    (FilePattern("mp_rank_{tp}_{pp}"),                                      .rankFolder),
    (FilePattern("mp_rank_{tp}_{pp}_{ep}"),                                 .rankFolder),
    // NeMo 1
    (FilePattern("tp_rank_{tp}_pp_rank_{pp}"),                              .rankFolder),
    (FilePattern("model_optim_rng.pt"),                                     .rankFile),
    (FilePattern("model_rng.pt"),                                           .rankFile),
    // DeepSpeed checkpoint/ds_to_universal.py
    (FilePattern("zero"),                                                   .universalFolder),
    // Megatron-core dist_checkpointing
    (FilePattern("__{rank}_{n}.distcp"),                                    .distributed),
    (FilePattern(".metadata"),                                              .distributed),
    (FilePattern("global_step{step}"),                                      .stepFolder),
    (FilePattern("global_step{step}_universal"),                            .stepFolder),
    (FilePattern("iter_{iteration}"),                                       .iterationFolder),
    (FilePattern("release"),                                                .iterationFolder),
  ]

  /// The kind that a name has, and the numbers in it.
  package static func of(_ name: String) -> (kind: CheckpointFileKind, numbers: [String: Int])? {
    for (form, kind) in table {
      if let numbers = form.match(name) { return (kind, numbers) }
    }
    return nil
  }
}

/// A file or folder of a checkpoint, by its name alone.
package struct CheckpointFile: Hashable, Sendable {
  package let name: String
  package let kind: CheckpointFileKind
  /// The numbers in the name: `layer`, `tp`, `mp`, `dp`, ...
  package let numbers: [String: Int]
}
