import Conversion
import EventLog
import LaunchScript
import Pickle
import Safetensors
import TorchArchive

/// The examples of the README, run on a checkpoint: `Client CHECKPOINT FOLDER`.
@main struct Client {
  static func main() throws {
    let (run, folder) = (CommandLine.arguments[1], CommandLine.arguments[2])

    let checkpoint = try Checkpoint(at: .init(run))
    let conversion = try Conversion(of: checkpoint, options: .init(dtype: .bf16))
    let result = try conversion.run(to: .init("\(folder)/gpt2"))
    for decision in result.decisions { print(decision.name, decision.text, decision.reason) }
    precondition(result.outcome == .created)

    let verifier = try ModelVerifier(output: .init("\(folder)/gpt2"))
    precondition(verifier.faults.isEmpty)

    guard let source = checkpoint.files.first else { return }
    let file = try TorchFile(opening: source.path)
    for tensor in try file.tensors() { print(tensor.name, tensor.dtype, tensor.shape) }
    guard let first = try file.tensors().first else { return }
    print(try file.bytes(of: first).count)

    let model = try SafetensorsFile(opening: .init("\(folder)/gpt2/model.safetensors"))
    let embedding = try model.tensor(named: "transformer.wte.weight")
    print(try model.floats(of: embedding).count, try model.bytes(of: embedding).count)
    try SafetensorsFile.write(
      [.init("w", [2, 2], [1, 2, 3, 4])], to: .init("\(folder)/w.safetensors"))

    // {"args": {"hidden_size": 64}}
    let bytes: [UInt8] = Array("}X\u{4}\0\0\0args}X\u{b}\0\0\0hidden_sizeK@ss.".utf8)
    let root = try Pickle.load(bytes)
    precondition(root["args"]?["hidden_size"]?.int == 64)

    let script = try LaunchScript(
      Array("python train.py --num-layers $N --hidden-size 64".utf8), environment: ["N": "24"])
    precondition(script.options.map(\.values) == [["24"], ["64"]])
    do {
      _ = try EventLogs(.init(folder))
      preconditionFailure("there is no event file")
    } catch {
      print(error)
    }
    print("all examples ran")
  }
}
