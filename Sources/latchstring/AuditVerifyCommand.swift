import ArgumentParser
import AuditChain
import Telemetry

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `latchstring audit verify`.
struct AuditVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Find what was changed, removed, inserted or reordered in a key holder's audit.",
        discussion: """
            Reads files in the order in which they were written: each behind the one that it follows from, else by the time in their first lines, whatever the order on the command line. "-" is \
            standard input, for what is packed. Each finding has its file, line and kind: changed, missing, inserted, misplaced, broken-off, \
            new-chain, forged, cut; and notes, which are no faults.

            Without --key a checkpoint is held against the key that it names itself, which says that the files are of one piece, and not \
            who wrote them.

            Exit status: 0 if nothing is wrong, 1 if something is, 2 if the command line is wrong, 3 if a file cannot be read.

            Examples:
              latchstring audit verify --key 8d3f… /var/log/latchstring-keyholder/audit.jsonl*
              zcat audit.jsonl.3.gz | latchstring audit verify --key keys.txt -
              latchstring audit verify --after-header --key 8d3f… /var/log/audit-of-keyholder.log
            """)

    @Argument(help: "The audit's files.")
    var files: [String]

    @Option(
        help: ArgumentHelp(
            "Who may have signed: what `latchstring audit key` prints, or a file with one on each line. May be repeated.",
            valueName: "key"))
    var key: [String] = []

    @Option(
        help: "A line's number that the audit must have reached: of a metric or a checkpoint that was seen elsewhere.")
    var expect: UInt64?

    @Flag(help: "Lines have a log daemon's header before them, which nothing protects.")
    var afterHeader = false

    @Option(help: "How many findings are printed; all are counted.")
    var most = 1000

    func validate() throws {
        guard !self.files.isEmpty else { throw ValidationError("Name the audit's files.") }
    }

    func run() throws {
        do {
            let signers = try self.signers()
            var verifier = ChainVerifier(signers: signers)
            var printed = Printed(left: self.most)
            for file in try self.inOrder() {
                verifier.begin(file: file)
                try LineReader.read(file) { line, isEnded in
                    verifier.line(self.afterHeader ? Self.afterHeader(line) : line, isEnded: isEnded)
                    printed.print(verifier.takeFindings())
                }
            }
            let summary = verifier.finish(expected: self.expect)
            printed.print(verifier.takeFindings())
            printed.end()
            StandardOutput.write(Self.text(summary, isKeyNamed: !signers.isEmpty))
            if summary.faults > 0 || summary.lines == 0 { throw ExitCode.failure }
        } catch let error as LineReader.Failure {
            Startup.complain("error: \(error)")
            throw ExitCode(3)
        }
    }

    private struct Printed {
        var left: Int
        var more = 0

        mutating func print(_ findings: [ChainFinding]) {
            for finding in findings {
                guard self.left > 0 else {
                    self.more += 1
                    continue
                }
                self.left -= 1
                StandardOutput.write("\(finding)\n")
            }
        }

        func end() {
            if self.more > 0 { StandardOutput.write("and \(self.more) more findings\n") }
        }
    }

    private func signers() throws -> [CheckpointSigner] {
        var signers: [CheckpointSigner] = []
        for key in self.key {
            if let signer = CheckpointSigner(hex: key) {
                signers.append(signer)
                continue
            }
            try LineReader.read(key) { line, _ in
                let text = String(decoding: line, as: UTF8.self).filter { !$0.isWhitespace }
                guard !text.isEmpty, !text.hasPrefix("#") else { return }
                guard let signer = CheckpointSigner(hex: text) else {
                    throw LineReader.Failure(
                        "\"\(key)\" has a line that is no key: 64 hexadecimal digits, as `latchstring audit key` prints"
                    )
                }
                signers.append(signer)
            }
        }
        return signers
    }

    private func inOrder() throws -> [String] {
        guard self.files.count > 1 else { return self.files }
        return ChainOrder.names(
            of: try self.files.map { file in
                // What comes through a pipe comes once.
                guard file != "-" else { return ChainOrder.File(name: file, first: nil, last: nil) }
                var first: SealedLine?
                try LineReader.read(file, while: { first == nil }) { line, _ in first = self.sealed(line) }
                var last: SealedLine?
                try LineReader.readEnd(file) { line, _ in last = self.sealed(line) ?? last }
                return ChainOrder.File(name: file, first: first, last: last?.position)
            })
    }

    private func sealed(_ line: ArraySlice<UInt8>) -> SealedLine? {
        SealedLine(self.afterHeader ? Self.afterHeader(line) : line)
    }

    private static func afterHeader(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let start = line.firstRange(of: Array("{\"seq\":".utf8)) else { return line }
        return line[start.lowerBound...]
    }

    private static func text(_ summary: ChainSummary, isKeyNamed: Bool) -> String {
        guard let first = summary.first, let last = summary.last else {
            return "There is no line of a chain: nothing is verified.\n"
        }
        var text =
            "Lines \(first) to \(last), \(summary.lines) in number, the last of \(summary.lastTime ?? "an unknown time"). "
        text += summary.faults == 0 ? "Nothing is wrong with the chain.\n" : "\(summary.faults) faults.\n"
        if let signed = summary.signed {
            let signers = summary.signers.map(\.description).sorted().joined(separator: ", ")
            text +=
                "\(summary.checkpoints) checkpoints are good, the last at line \(signed) of \(summary.signedTime ?? "an unknown time"), signed by \(signers).\n"
            if !isKeyNamed {
                text +=
                    "Compare the key with what `latchstring audit key` printed when it was made, or name it: --key.\n"
            }
            if last > signed {
                text += "Lines \(signed + 1) to \(last) are not signed yet: a chain alone can be made anew.\n"
            }
        } else {
            text += "No checkpoint is signed: who can write the files can have made the whole chain anew.\n"
        }
        text +=
            summary.hasEnded
            ? "The key holder ended in order.\n"
            : "The end is open: the key holder runs, or ended without order, or lines were cut off. Compare the last number with what it was known to have reached (--expect).\n"
        return text
    }
}
