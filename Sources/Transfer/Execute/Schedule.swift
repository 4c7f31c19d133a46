import TorchArchive

/// The work that makes some tensors of a plan, divided by the way it is done, and in the order of
/// the files and of the bytes in them, so that disks read forwards.
struct Schedule {
  /// What is read and written on several threads.
  enum Step {
    case range(RangeCopy)
    case assembly(TensorAssembly)
  }

  /// A box that is scattered while its storage is read from front to back.
  struct Copy {
    let tensor: Int
    let source: StoredBox
    let destination: Piece.Destination
    let addend: Float
  }

  /// Replicas that are compared, and of which one is made.
  struct Merge {
    let tensor: Int
    let replicas: [StoredBox]
    let destination: Piece.Destination
    let addend: Float
    let rule: Piece.MergeRule
  }

  /// A constant.
  struct Fill {
    let tensor: Int
    let value: Float
    let count: Int
    let destination: Piece.Destination
  }

  private(set) var steps: [Step] = []
  /// By storages.
  private(set) var streams: [(storage: Int, copies: [Copy])] = []
  private(set) var merges: [Merge] = []
  private(set) var fills: [Fill] = []

  /// - Parameters:
  ///   - positions: Which tensors.
  ///   - plan: The plan.
  ///   - window: The size of the window in bytes.
  ///   - stage: How many bytes a thread reads at a time.
  init(_ positions: [Int], of plan: TransferPlan, window: Int, stage: Int) {
    var copies: [Int: [Copy]] = [:]
    for position in positions {
      var rest: [Piece] = []
      for piece in plan.tensors[position].pieces {
        switch piece {
        case .copy:
          if let range = RangeCopy(piece, of: position, in: plan) {
            steps.append(.range(range))
          } else {
            rest.append(piece)
          }
        case .merge(let replicas, let destination, let addend, let rule):
          merges.append(
            Merge(
              tensor: position, replicas: replicas, destination: destination, addend: addend,
              rule: rule))
        case .fill(let value, let count, let destination):
          fills.append(
            Fill(tensor: position, value: value, count: count, destination: destination))
        }
      }
      for piece in assemble(rest, of: position, in: plan, window: window, stage: stage) {
        guard case .copy(let source, let destination, let addend) = piece else { continue }
        copies[source.storage, default: []].append(
          Copy(tensor: position, source: source, destination: destination, addend: addend))
      }
    }
    func place(_ storage: Int) -> (Int, Int) {
      (plan.storages[storage].file, plan.storages[storage].entry.dataOffset)
    }
    steps.sort { place($0.storage) < place($1.storage) }
    merges.sort { place($0.replicas[0].storage) < place($1.replicas[0].storage) }
    streams = copies.sorted { place($0.key) < place($1.key) }.map { ($0.key, $0.value) }
  }

  /// Puts the pieces of a tensor together, all of them or each by itself.
  ///
  /// - Returns: The pieces that are left.
  private mutating func assemble(
    _ pieces: [Piece], of position: Int, in plan: TransferPlan, window: Int, stage: Int
  ) -> [Piece] {
    func assembly(_ pieces: [Piece]) -> TensorAssembly? {
      TensorAssembly(pieces, of: position, in: plan, window: window, stage: stage)
    }
    if pieces.isEmpty { return [] }
    if let whole = assembly(pieces) {
      steps.append(.assembly(whole))
      return []
    }
    return pieces.filter { piece in
      guard let made = assembly([piece]) else { return true }
      steps.append(.assembly(made))
      return false
    }
  }
}

extension Schedule.Step {
  /// The first storage that is read.
  fileprivate var storage: Int {
    switch self {
    case .range(let range): range.source.storage
    case .assembly(let assembly): assembly.parts[0].storage
    }
  }
}
