import Crypto
import Hexadecimal

/// Reads a chain's lines in the order in which they were written, and tells what is wrong with them. Pure: lines in, findings out.
///
/// What it holds does not grow with what it reads: findings are the caller's to take (``takeFindings()``).
///
/// A line that does not follow from the one before is a finding. Reading goes on behind it, and behind the last one that was good: where
/// the next line follows from that, the line between was put there.
public struct ChainVerifier {
    /// Where something stands.
    private struct Place {
        var file: String
        var line: Int
    }

    /// A line that is none of a chain: what is left of one that is broken off, if the next line says so.
    private struct Fragment {
        var place: Place
        var bytes: [UInt8]
        var endsFile: Bool
    }

    private static let mostMissing = 256

    private let signers: [CheckpointSigner]
    private var summaryNow = ChainSummary()
    private var findings: [ChainFinding] = []
    /// The finding about the last line, whose kind the next line may tell.
    private var open: ChainFinding?

    private var place = Place(file: "", line: 0)
    private var formerFile: String?
    /// nil before the first line.
    private var current: ChainPosition?
    /// Before the line that does not follow.
    private var good: ChainPosition?
    private var checkpoint: ChainPosition?
    private var missing: [ClosedRange<UInt64>] = []
    private var fragment: Fragment?
    /// Lines before the first that is one of a chain.
    private var unsealed = 0

    /// - Parameter signers: Whose checkpoints count; none: each checkpoint names its own, and is held against that.
    public init(signers: [CheckpointSigner] = []) {
        self.signers = signers
    }

    public mutating func begin(file: String) {
        if self.place.line > 0 { self.formerFile = self.place.file }
        self.place = Place(file: file, line: 0)
    }

    /// The next line of the file.
    ///
    /// - Parameters:
    ///   - bytes: without the line feed. Longer ones than ``ChainSealer/longestLine`` may be cut to that.
    ///   - isEnded: It had one; else it is the file's last.
    public mutating func line(_ bytes: ArraySlice<UInt8>, isEnded: Bool) {
        self.place.line += 1
        guard let line = SealedLine(bytes) else { return self.unsealedLine(bytes, isEnded: isEnded) }
        self.settleFragment(before: line, bytes)
        self.take(line)
        self.summaryNow.lines += 1
        self.summaryNow.last = line.position.sequence
        self.summaryNow.lastTime = line.text("time")
        switch line.text("operation") {
        case "stop": self.summaryNow.hasEnded = true
        case ChainOperation.checkpoint: break
        default: self.summaryNow.hasEnded = false
        }
    }

    /// What was found so far, but for what the next line may change.
    public mutating func takeFindings() -> [ChainFinding] {
        defer { self.findings = [] }
        return self.findings
    }

    /// Nothing comes any more.
    ///
    /// - Parameter expected: A number that the chain must have reached.
    public mutating func finish(expected: UInt64? = nil) -> ChainSummary {
        if let fragment = self.fragment {
            self.fragment = nil
            self.report(
                .brokenOff, "the last line is broken off: it is being written at this moment, or the end was cut",
                at: fragment.place)
        }
        self.close()
        let last = self.current?.sequence ?? 0
        if let expected, last < expected {
            self.report(
                .cut, "the chain ends with line \(last), and line \(expected) must be there: the end was cut",
                at: self.place)
            self.close()
        }
        if !self.signers.isEmpty, self.summaryNow.checkpoints == 0 {
            self.report(.forged, "no checkpoint is signed by the key that was named", at: self.place)
            self.close()
        }
        return self.summaryNow
    }

    // MARK: Lines

    private mutating func take(_ line: SealedLine) {
        guard let current = self.current else { return self.takeFirst(line) }
        if line.follows(current) {
            self.close()
            self.good = nil
            return self.accept(line, after: current)
        }
        if let good = self.good, line.follows(good) {
            self.noteStranger()
            self.close()
            self.good = nil
            return self.accept(line, after: good)
        }
        if let checkpoint = self.checkpoint, line.text("operation") == ChainOperation.start, line.follows(checkpoint) {
            self.close()
            self.note(
                "the key holder began again from its checkpoint at line \(checkpoint.sequence); lines \(checkpoint.sequence + 1) to \(current.sequence) before this are of a run that did not end in order, and nothing says how many there were"
            )
            self.good = nil
            return self.accept(line, after: checkpoint)
        }
        self.close()
        self.refuse(line, after: current)
        self.good = current
        self.current = line.position
    }

    /// The line of the open finding stands between two that belong together.
    private mutating func noteStranger() {
        switch self.open?.kind {
        case .changed:
            self.open?.kind = .inserted
            self.open?.message = "the line was inserted: the next one follows from the line before it"
        case .missing:
            self.missing.removeLast()
            self.open?.kind = .misplaced
            self.open?.message =
                "the line was moved here from further down, or inserted: the next one follows from the line before it"
        default: break
        }
    }

    private mutating func takeFirst(_ line: SealedLine) {
        if self.unsealed > 0 {
            self.report(
                line.position.sequence == 1 ? .note : .inserted,
                line.position.sequence == 1
                    ? "\(self.unsealed) lines before this one are older than the chain: nothing protects them"
                    : "\(self.unsealed) lines before this one are none of the chain")
        }
        self.summaryNow.first = line.position.sequence
        let before: ChainPosition?
        if line.position.sequence == 1 {
            before = .beginning
        } else if let after = line.text("after") {
            before = ChainPosition(sequence: line.position.sequence - 1, hex: after)
        } else {
            before = nil
        }
        guard let before else {
            self.note(
                "the first line has number \(line.position.sequence), and what it follows from is in none of the files: it may be changed itself"
            )
            self.current = line.position
            return
        }
        if line.position.sequence > 1 {
            self.note("lines 1 to \(line.position.sequence - 1) are in none of the files")
        }
        guard line.follows(before) else {
            self.report(.changed, "the line was changed: its hash is another one")
            self.current = line.position
            return
        }
        self.accept(line, after: before)
    }

    private mutating func accept(_ line: SealedLine, after before: ChainPosition) {
        self.current = line.position
        guard line.isCheckpoint else { return }
        self.checkpoint = line.position
        guard let signer = line.text("key").flatMap(CheckpointSigner.init(hex:)), let signed = line.signed else {
            return self.report(.forged, "the checkpoint has no signature")
        }
        guard self.signers.isEmpty || self.signers.contains(signer) else {
            return self.report(.forged, "the checkpoint is by a key that was not named: \(signer)")
        }
        guard signer.isValid(signed.signature, over: CheckpointContent.bytes(after: before, line: signed.line)) else {
            return self.report(.forged, "the checkpoint's signature is not by the key \(signer)")
        }
        self.summaryNow.checkpoints += 1
        self.summaryNow.signed = line.position.sequence
        self.summaryNow.signedTime = line.text("time")
        self.summaryNow.signers.insert(signer)
    }

    /// Says what is wrong with a line that follows from none.
    private mutating func refuse(_ line: SealedLine, after current: ChainPosition) {
        let (number, last) = (line.position.sequence, current.sequence)
        var kind = ChainFinding.Kind.changed
        var message: String
        if number == 1, line.follows(.beginning) {
            kind = .newChain
            message =
                "another chain begins, after line \(last): what was there was replaced, or the key holder had lost where it was"
        } else if number > last + 1 {
            kind = .missing
            message =
                number == last + 2
                ? "line \(last + 1) is missing before this one"
                : "lines \(last + 1) to \(number - 1) are missing before this one"
            if self.missing.count == Self.mostMissing { self.missing.removeFirst() }
            self.missing.append(last + 1...number - 1)
        } else if number == last + 1 {
            message = "the line was changed, or the one before it: its hash does not follow"
        } else {
            kind = .misplaced
            message =
                line.position == current
                ? "the line is there twice"
                : self.missing.contains { $0.contains(number) }
                    ? "the line has number \(number) and was moved: it is missing further up"
                    : "the line has number \(number), after number \(last): it was inserted, or moved from further down"
        }
        if self.place.line == 1, let former = self.formerFile {
            message = "the file does not go on where \(former) ended: " + message
        }
        self.report(kind, message)
    }

    // MARK: What is no line of a chain

    private mutating func unsealedLine(_ bytes: ArraySlice<UInt8>, isEnded: Bool) {
        guard self.current != nil else {
            self.unsealed += 1
            return
        }
        self.reportFragment()
        self.fragment = Fragment(place: self.place, bytes: Array(bytes), endsFile: !isEnded)
    }

    /// Looks whether a line accounts for what is before it and is none.
    private mutating func settleFragment(before line: SealedLine, _ bytes: ArraySlice<UInt8>) {
        guard let fragment = self.fragment else { return }
        if line.text("operation") == ChainOperation.continued, line.number("broken_bytes") == fragment.bytes.count,
            line.text("broken_sha256") == Hex.text(SHA256.hash(data: fragment.bytes))
        {
            self.fragment = nil
            self.close()
            return self.note(
                "the key holder ended within a line: \(fragment.bytes.count) bytes of it are left at \(fragment.place.file):\(fragment.place.line)"
            )
        }
        if fragment.endsFile, self.place.line == 1, bytes.starts(with: fragment.bytes) {
            self.fragment = nil
            self.close()
            return self.note("the line is broken off at the end of \(fragment.place.file), and is whole here")
        }
        self.reportFragment()
    }

    private mutating func reportFragment() {
        guard let fragment = self.fragment else { return }
        self.fragment = nil
        self.report(
            fragment.endsFile ? .brokenOff : .inserted,
            fragment.endsFile
                ? "the line is broken off, and the next file does not have it"
                : "the line is none of the chain: it was inserted, or changed past recognition, or broken off",
            at: fragment.place)
    }

    // MARK: Findings

    private mutating func note(_ message: String) { self.report(.note, message) }

    private mutating func report(_ kind: ChainFinding.Kind, _ message: String) {
        self.report(kind, message, at: self.place)
    }

    private mutating func report(_ kind: ChainFinding.Kind, _ message: String, at place: Place) {
        self.close()
        self.open = ChainFinding(kind: kind, file: place.file, line: place.line, message: message)
    }

    private mutating func close() {
        guard let open = self.open else { return }
        self.open = nil
        if open.kind.isFault { self.summaryNow.faults += 1 }
        self.findings.append(open)
    }
}
