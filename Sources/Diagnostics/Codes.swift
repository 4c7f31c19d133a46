/// Every code of a conversion. Those of files, pickles, archives and safetensors are declared
/// next to their errors.
extension Diagnostic.Code {
  // Training arguments
  public static let argumentsAbsent = Self("arguments/absent", .note)
  public static let argumentsActivation = Self("arguments/activation", .note)
  public static let argumentsConfig = Self("arguments/config", .usage)
  public static let argumentsContradiction = Self("arguments/contradiction", .undecided)
  public static let argumentsEpsilon = Self("arguments/epsilon", .note)
  public static let argumentsHeads = Self("arguments/heads", .undecided)
  public static let argumentsOverridden = Self("arguments/overridden", .note)
  public static let argumentsSet = Self("arguments/set", .usage)
  public static let argumentsSettings = Self("arguments/settings", .undecided)
  public static let argumentsSize = Self("arguments/size", .undecided)
  public static let argumentsType = Self("arguments/type", .undecided)
  public static let argumentsUnfamiliar = Self("arguments/unfamiliar", .note)
  public static let argumentsUnknown = Self("arguments/unknown", .usage)

  // Batches
  public static let batchEmpty = Self("batch/empty", .noInput)
  public static let batchIndex = Self("batch/index", .usage)
  public static let batchLine = Self("batch/line", .usage)
  public static let batchOutput = Self("batch/output", .usage)
  public static let batchPlaceholder = Self("batch/placeholder", .usage)
  public static let batchSameOutput = Self("batch/same-output", .usage)
  public static let batchSize = Self("batch/size", .usage)

  // Mistakes of this program
  public static let bugNoTensor = Self("bug/no-tensor", .bug)
  public static let bugPlan = Self("bug/plan", .bug)
  public static let bugSink = Self("bug/sink", .bug)
  public static let bugUnexpected = Self("bug/unexpected", .bug)

  // Model cards
  public static let cardHeader = Self("card/header", .usage)

  // Checkpoints
  public static let checkpointArchive = Self("checkpoint/archive", .noInput)
  public static let checkpointBadTag = Self("checkpoint/bad-tag", .malformed)
  public static let checkpointBadTracker = Self("checkpoint/bad-tracker", .malformed)
  public static let checkpointChunks = Self("checkpoint/chunks", .malformed)
  public static let checkpointCompressed = Self("checkpoint/compressed", .noInput)
  public static let checkpointDuplicateRank = Self("checkpoint/duplicate-rank", .malformed)
  public static let checkpointDuplicateTensor = Self("checkpoint/duplicate-tensor", .malformed)
  public static let checkpointDuplicatedShards = Self("checkpoint/duplicated-shards", .malformed)
  public static let checkpointHuggingFace = Self("checkpoint/hugging-face", .noInput)
  public static let checkpointHuggingFaceNames = Self("checkpoint/hugging-face-names", .malformed)
  public static let checkpointLayerKind = Self("checkpoint/layer-kind", .malformed)
  public static let checkpointLayerOrder = Self("checkpoint/layer-order", .malformed)
  public static let checkpointLeftOverLayers = Self("checkpoint/left-over-layers", .malformed)
  public static let checkpointMissingFiles = Self("checkpoint/missing-files", .malformed)
  public static let checkpointMissingLayer = Self("checkpoint/missing-layer", .malformed)
  public static let checkpointMissingRank = Self("checkpoint/missing-rank", .malformed)
  public static let checkpointMissingShard = Self("checkpoint/missing-shard", .malformed)
  public static let checkpointMissingTensor = Self("checkpoint/missing-tensor", .malformed)
  public static let checkpointMixedFiles = Self("checkpoint/mixed-files", .malformed)
  public static let checkpointNoParameter = Self("checkpoint/no-parameter", .malformed)
  public static let checkpointNoState = Self("checkpoint/no-state", .malformed)
  public static let checkpointNoStep = Self("checkpoint/no-step", .noInput)
  public static let checkpointNoWeights = Self("checkpoint/no-weights", .malformed)
  public static let checkpointNone = Self("checkpoint/none", .noInput)
  public static let checkpointOptimizer = Self("checkpoint/optimizer", .note)
  public static let checkpointOtherIteration = Self("checkpoint/other-iteration", .note)
  public static let checkpointPart = Self("checkpoint/part", .noInput)
  public static let checkpointPlaceholder = Self("checkpoint/placeholder", .malformed)
  public static let checkpointSeveralModels = Self("checkpoint/several-models", .undecided)
  public static let checkpointSeveralSteps = Self("checkpoint/several-steps", .undecided)
  public static let checkpointTwoLayers = Self("checkpoint/two-layers", .malformed)
  public static let checkpointUnknownModel = Self("checkpoint/unknown-model", .malformed)
  public static let checkpointUnknownTensor = Self("checkpoint/unknown-tensor", .malformed)

  // config.json
  public static let configActivation = Self("config/activation", .fault)
  public static let configAlias = Self("config/alias", .fault)
  public static let configArchitectures = Self("config/architectures", .fault)
  public static let configDisagrees = Self("config/disagrees", .fault)
  public static let configDtype = Self("config/dtype", .fault)
  public static let configField = Self("config/field", .fault)
  public static let configHeads = Self("config/heads", .fault)
  public static let configMissingField = Self("config/missing-field", .fault)
  public static let configModelType = Self("config/model-type", .fault)
  public static let configNCtx = Self("config/n-ctx", .fault)
  public static let configSyntax = Self("config/syntax", .fault)
  public static let configToken = Self("config/token", .fault)
  public static let configType = Self("config/type", .fault)

  // Recorded checksums
  public static let crcNotChecked = Self("crc/not-checked", .note)
  public static let crcNotRecorded = Self("crc/not-recorded", .note)

  // Decisions
  public static let decisionGuess = Self("decision/guess", .note)

  // Distributed checkpoints
  public static let distributedBackend = Self("distributed/backend", .unsupported)
  public static let distributedChunks = Self("distributed/chunks", .malformed)
  public static let distributedIncomplete = Self("distributed/incomplete", .noInput)
  public static let distributedIntegrity = Self("distributed/integrity", .malformed)
  public static let distributedMetadata = Self("distributed/metadata", .malformed)
  public static let distributedMismatch = Self("distributed/mismatch", .malformed)
  public static let distributedPath = Self("distributed/path", .malformed)
  public static let distributedRange = Self("distributed/range", .malformed)
  public static let distributedRanks = Self("distributed/ranks", .unsupported)
  public static let distributedShapes = Self("distributed/shapes", .note)
  public static let distributedTransform = Self("distributed/transform", .unsupported)
  public static let distributedUnfinished = Self("distributed/unfinished", .tryAgain)
  public static let distributedZarr = Self("distributed/zarr", .unsupported)

  // Element types
  public static let dtypeMixed = Self("dtype/mixed", .note)

  // The output head
  public static let headDiffers = Self("head/differs", .malformed)

  // The index of shards
  public static let indexMissingFile = Self("index/missing-file", .fault)
  public static let indexStaleFile = Self("index/stale-file", .fault)
  public static let indexTotalSize = Self("index/total-size", .note)
  public static let indexUnlistedTensor = Self("index/unlisted-tensor", .fault)
  public static let indexWrongFile = Self("index/wrong-file", .fault)

  // The forward check
  public static let forwardDiffers = Self("forward/differs", .fault)
  public static let forwardNotRun = Self("forward/not-run", .note)

  // Files
  public static let ioError = Self("io/error", .inputOutput)
  public static let ioNameTooLong = Self("io/name-too-long", .cannotCreate)
  public static let ioNoSpace = Self("io/no-space", .inputOutput)
  public static let ioNotAFile = Self("io/not-a-file", .noInput)
  public static let ioNotAFolder = Self("io/not-a-folder", .cannotCreate)
  public static let ioNotFound = Self("io/not-found", .noInput)
  public static let ioPermission = Self("io/permission", .cannotCreate)
  public static let ioSameFile = Self("io/same-file", .cannotCreate)

  // JSON files
  public static let jsonSyntax = Self("json/syntax", .malformed)

  // Layouts
  public static let layoutAbsent = Self("layout/absent", .undecided)
  public static let layoutSeveral = Self("layout/several", .undecided)

  // Limits
  public static let limitJSONSize = Self("limit/json-size", .malformed)
  public static let limitSpread = Self("limit/spread", .malformed)

  // Event files
  public static let logsContradict = Self("logs/contradict", .undecided)
  public static let logsDamaged = Self("logs/damaged", .note)
  public static let logsLoss = Self("logs/loss", .note)
  public static let logsNone = Self("logs/none", .noInput)
  public static let logsSeveral = Self("logs/several", .undecided)
  public static let logsShort = Self("logs/short", .note)
  public static let logsTooMany = Self("logs/too-many", .malformed)
  public static let logsUnreadable = Self("logs/unreadable", .noInput)

  // The manifest
  public static let manifestSchema = Self("manifest/schema", .malformed)

  // float32 masters
  public static let mastersDiffer = Self("masters/differ", .note)
  public static let mastersFrozen = Self("masters/frozen", .unsupported)
  public static let mastersMismatch = Self("masters/mismatch", .malformed)
  public static let mastersNoShapes = Self("masters/no-shapes", .malformed)
  public static let mastersNone = Self("masters/none", .noInput)
  public static let mastersOrder = Self("masters/order", .undecided)
  public static let mastersSubPartitions = Self("masters/sub-partitions", .unsupported)

  // Models
  public static let modelExperts = Self("model/experts", .unsupported)

  // Models that are run
  public static let networkNotFinite = Self("network/not-finite", .malformed)
  public static let networkPrompt = Self("network/prompt", .usage)
  public static let networkTensor = Self("network/tensor", .malformed)
  public static let networkUnsupported = Self("network/unsupported", .unsupported)

  // Norms
  public static let normRounded = Self("norm/rounded", .note)

  // Options
  public static let optionsDtype = Self("options/dtype", .usage)

  // The output
  public static let outputAnotherModel = Self("output/another-model", .fault)
  public static let outputContended = Self("output/contended", .tryAgain)
  public static let outputDamaged = Self("output/damaged", .inputOutput)
  public static let outputDtype = Self("output/dtype", .fault)
  public static let outputDuplicateTensor = Self("output/duplicate-tensor", .malformed)
  public static let outputExists = Self("output/exists", .cannotCreate)
  public static let outputFileSize = Self("output/file-size", .fault)
  public static let outputForeignFile = Self("output/foreign-file", .cannotCreate)
  public static let outputKept = Self("output/kept", .note)
  public static let outputLayers = Self("output/layers", .fault)
  public static let outputMaskBuffer = Self("output/mask-buffer", .fault)
  public static let outputMissingFile = Self("output/missing-file", .fault)
  public static let outputMissingTensor = Self("output/missing-tensor", .fault)
  public static let outputName = Self("output/name", .cannotCreate)
  public static let outputNoIndex = Self("output/no-index", .fault)
  public static let outputNoWeights = Self("output/no-weights", .noInput)
  public static let outputOtherWeights = Self("output/other-weights", .note)
  public static let outputSHA256 = Self("output/sha256", .fault)
  public static let outputShape = Self("output/shape", .fault)
  public static let outputSingleFile = Self("output/single-file", .fault)
  public static let outputStaging = Self("output/staging", .cannotCreate)
  public static let outputTiedHead = Self("output/tied-head", .fault)
  public static let outputUnexpectedTensor = Self("output/unexpected-tensor", .fault)
  public static let outputValues = Self("output/values", .fault)

  // Parts
  public static let partsMissing = Self("parts/missing", .tryAgain)

  // The order of query, key and value
  public static let qkvAmbiguous = Self("qkv/ambiguous", .undecided)
  public static let qkvDisagrees = Self("qkv/disagrees", .fault)
  public static let qkvGuess = Self("qkv/guess", .note)
  public static let qkvMergedRanks = Self("qkv/merged-ranks", .undecided)
  public static let qkvNotProven = Self("qkv/not-proven", .note)
  public static let qkvOverridden = Self("qkv/overridden", .note)
  public static let qkvRefuted = Self("qkv/refuted", .undecided)

  // Replicas
  public static let replicasDiffer = Self("replicas/differ", .malformed)

  // Rotary positions
  public static let rotaryPrecision = Self("rotary/precision", .note)

  // safetensors files
  public static let safetensorsFormat = Self("safetensors/format", .note)
  public static let safetensorsLax = Self("safetensors/lax", .note)

  // Launch scripts
  public static let scriptContradicts = Self("script/contradicts", .undecided)
  public static let scriptDiffers = Self("script/differs", .note)
  public static let scriptLineEnds = Self("script/line-ends", .malformed)
  public static let scriptNoLaunch = Self("script/no-launch", .malformed)
  public static let scriptNoText = Self("script/no-text", .malformed)
  public static let scriptSyntax = Self("script/syntax", .malformed)
  public static let scriptTooLong = Self("script/too-long", .malformed)

  // Stops
  public static let stoppedWarning = Self("stopped/warning", .tryAgain)

  // Tensors
  public static let tensorForeignFunction = Self("tensor/foreign-function", .note)
  public static let tensorHidden = Self("tensor/hidden", .note)
  public static let tensorNotAWeight = Self("tensor/not-a-weight", .unsupported)
  public static let tensorOtherKind = Self("tensor/other-kind", .malformed)
  public static let tensorRanksDisagree = Self("tensor/ranks-disagree", .malformed)
  public static let tensorUnexpectedShape = Self("tensor/unexpected-shape", .malformed)

  // Tokenizers
  public static let tokenizerInconsistent = Self("tokenizer/inconsistent", .malformed)
  public static let tokenizerMissing = Self("tokenizer/missing", .noInput)
  public static let tokenizerOtherSize = Self("tokenizer/other-size", .note)
  public static let tokenizerSize = Self("tokenizer/size", .undecided)
  public static let tokenizerText = Self("tokenizer/text", .malformed)
  public static let tokenizerUnsupported = Self("tokenizer/unsupported", .unsupported)
  public static let tokensForm = Self("tokens/form", .malformed)

  // The command line
  public static let usageArguments = Self("usage/arguments", .usage)
  public static let usageCommand = Self("usage/command", .usage)

  // Values
  public static let valuesLayernorm = Self("values/layernorm", .note)
  public static let valuesNotFinite = Self("values/not-finite", .note)
  public static let valuesOverflow = Self("values/overflow", .note)

  // The vocabulary
  public static let vocabularyAmbiguous = Self("vocabulary/ambiguous", .undecided)
  public static let vocabularyExtraIds = Self("vocabulary/extra-ids", .note)
  public static let vocabularyImplausible = Self("vocabulary/implausible", .note)
  public static let vocabularyOverridden = Self("vocabulary/overridden", .note)
  public static let vocabularyRange = Self("vocabulary/range", .undecided)
  public static let vocabularyUnknown = Self("vocabulary/unknown", .undecided)

  /// The feature of a model that a family cannot express: `model/kind`.
  public static func model(_ feature: String) -> Self { Self("model/\(feature)", .unsupported) }

  /// The same name for another kind of trouble, such as a folder that cannot be made instead of
  /// read.
  public func `as`(_ kind: Diagnostic.Kind) -> Self { Self(name, kind) }
}
