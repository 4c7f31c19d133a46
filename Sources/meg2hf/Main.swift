import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import JSON

/// The command. Words and exit codes are all that it owns; the work is done by the library.
@main
struct Meg2hf: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "meg2hf",
    abstract: "Turns a Megatron checkpoint into a Hugging Face directory.",
    discussion: """
      It reads checkpoints of Megatron-DeepSpeed, Megatron-LM and Megatron-core and writes \
      safetensors, config.json and the tokenizer files, which load everywhere. It needs no Python, \
      no GPU and no network, and runs nothing that a checkpoint contains.

      EXAMPLES:
        meg2hf inspect runs/gpt2
            what is there, and can it be converted?
        meg2hf plan runs/gpt2
            what would be written?
        meg2hf convert runs/gpt2 hf/gpt2
            write it
        meg2hf batch runs/gpt2 --output 'hf/{name}-{iteration}'
            convert all steps of a run
        meg2hf verify hf/gpt2 --against runs/gpt2
            recompute every tensor and compare all bytes
        meg2hf generate hf/gpt2 "Hello, my dog is cute"
            let it speak

      EXIT STATUS: 0 done, 1 a fault or difference was found, 64 usage, 65 the checkpoint is \
      damaged, 66 no input, 69 model not supported, 70 internal error (please report), 73 the \
      output exists or cannot be created, 74 reading or writing failed, 75 try again, 78 the \
      arguments leave something open or contradict the tensors, 130 and 143 stopped by a signal.
      """,
    version: FrontDoor.version,
    subcommands: [
      ConvertCommand.self, PlanCommand.self, InspectCommand.self, VerifyCommand.self,
      ReportCommand.self,
      DiffCommand.self, BatchCommand.self, TokenizeCommand.self,
      GenerateCommand.self, LossCommand.self,
    ])

  static func main() {
    Process.ignoreBrokenPipes()
    // Before anything else: a signal that comes while the words are read counts too.
    let words = Array(CommandLine.arguments.dropFirst())
    if let first = words.first, ["convert", "batch", "generate", "loss"].contains(first) {
      Process.catchStopSignals()
    }
    let commands = configuration.subcommands.compactMap { $0.configuration.commandName }
    if let failure = FrontDoor.refusal(words, commands: commands) { finish(failure) }
    if words.contains("-h"), !words.contains("--") {
      let asked = configuration.subcommands.first { $0.configuration.commandName == words.first }
      let help = asked.map { helpMessage(for: $0, columns: 80) } ?? helpMessage(columns: 80)
      Process.Stream.output.write(FrontDoor.brief(help))
      return
    }
    if words == ["--version", "--json"] || words == ["--json", "--version"] {
      Process.Stream.output.write(JSONWriter.text(FrontDoor.versionJSON, .indented) + "\n")
      return
    }
    do {
      var command = try parseAsRoot(FrontDoor.translated(words))
      try command.run()
    } catch {
      guard exitCode(for: error).rawValue == ExitStatus(.usage).rawValue else {
        exit(withError: error)
      }
      finish(FrontDoor.usage(message(for: error), words, commands: commands))
    }
  }

  private static func finish(_ failure: Failure) -> Never {
    Report(schema: "meg2hf.usage/1", errors: [failure]).finish(
      Display(json: CommandLine.arguments.contains("--json")))
  }
}
