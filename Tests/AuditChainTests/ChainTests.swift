import Crypto
import Foundation
import Hexadecimal
import Testing

@testable import AuditChain

@Suite("A chain of audit lines")
struct ChainTests {
    static let key = Curve25519.Signing.PrivateKey()
    static let signer = CheckpointSigner(key.publicKey)

    /// A chain of `count` lines, of which every tenth is a checkpoint. Without line feeds.
    static func chain(
        _ count: Int, from position: ChainPosition = .beginning, key: Curve25519.Signing.PrivateKey = Self.key
    ) -> (lines: [[UInt8]], position: ChainPosition) {
        var sealer = ChainSealer(position)
        var bytes: [UInt8] = []
        for number in 1...count {
            if number.isMultiple(of: 10) {
                Self.checkpoint(&sealer, into: &bytes, key: key)
            } else {
                sealer.seal(Array(Self.body("sign-tls13", number).utf8), into: &bytes)
            }
        }
        return (Self.split(bytes), sealer.position)
    }

    static func body(_ operation: String, _ number: Int = 0, _ more: String = "") -> String {
        #""time":"2026-11-29T23:00:\#(number % 60)Z","edge":"paris","operation":"\#(operation)","outcome":"ok""# + more
            + "\n"
    }

    static func checkpoint(
        _ sealer: inout ChainSealer, into bytes: inout [UInt8], key: Curve25519.Signing.PrivateKey = Self.key
    ) {
        let body = Self.body("checkpoint", 0, #","key":"\#(CheckpointSigner(key.publicKey))""#)
        sealer.seal(Array(body.utf8.dropLast())[...], signingWith: key, into: &bytes)
    }

    static func split(_ bytes: [UInt8]) -> [[UInt8]] { bytes.split(separator: 0x0A).map { Array($0) } }

    static func verify(
        _ files: [[[UInt8]]], signers: [CheckpointSigner] = [Self.signer], expected: UInt64? = nil,
        cutsLast: Bool = false
    ) -> (findings: [ChainFinding], summary: ChainSummary) {
        var verifier = ChainVerifier(signers: signers)
        for (index, file) in files.enumerated() {
            verifier.begin(file: "audit.\(index)")
            for (number, line) in file.enumerated() {
                verifier.line(line[...], isEnded: !(cutsLast && number == file.count - 1))
            }
        }
        let summary = verifier.finish(expected: expected)
        return (verifier.takeFindings(), summary)
    }

    static func kinds(_ findings: [ChainFinding]) -> [String] {
        findings.map { "\($0.line) \($0.kind.rawValue)" }
    }

    @Test("What was not touched has no finding")
    func whole() {
        let (findings, summary) = Self.verify([Self.chain(45).lines])
        #expect(findings == [])
        #expect(summary.faults == 0)
        #expect(summary.lines == 45)
        #expect(summary.checkpoints == 4)
        #expect(summary.signed == 40)
        #expect(summary.signers == [Self.signer])
    }

    @Test("A line's form can be checked with other tools")
    func form() throws {
        let line = String(decoding: Self.chain(1).lines[0], as: UTF8.self)
        #expect(line.hasPrefix(#"{"seq":1,"time":"#))
        let content = try #require(line.range(of: ",\"chain\":\""), "no hash").lowerBound
        var hash = SHA256()
        hash.update(data: [UInt8](repeating: 0, count: 32))
        hash.update(data: Array(line[..<content].utf8))
        let digits = hash.finalize().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(line.hasSuffix(",\"chain\":\"\(digits)\"}"))
    }

    @Test("A line that was changed is found, whichever byte it is", arguments: [0, 8, 30, 70, 100, 130, 190])
    func changed(byte: Int) {
        var lines = Self.chain(45).lines
        guard byte < lines[20].count else { return }
        lines[20][byte] ^= 1
        let (findings, summary) = Self.verify([lines])
        #expect(summary.faults > 0)
        #expect(findings.first.map { (21...22).contains($0.line) } == true, "\(findings)")
        #expect(findings.allSatisfy { [21, 22].contains($0.line) }, "\(findings)")
    }

    @Test("One that was changed and given a fitting hash is found at the next, and the checkpoint cannot be made anew")
    func forgedLine() {
        var lines = Self.chain(45).lines
        // All from line 21 on made anew, by the rules, with another key.
        let before = Self.chain(20).position
        let other = Curve25519.Signing.PrivateKey()
        lines.replaceSubrange(20..., with: Self.chain(25, from: before, key: other).lines)
        let (findings, _) = Self.verify([lines])
        #expect(Self.kinds(findings) == ["30 forged", "40 forged"])
        // The named key does not help who has not got its half.
        var text = String(decoding: lines[29], as: UTF8.self)
        text.replace("\(CheckpointSigner(other.publicKey))", with: "\(Self.signer)")
        lines[29] = Array(text.utf8)
        #expect(Self.verify([lines]).summary.faults > 0)
        // Without a key only what is of one piece is said.
        #expect(Self.verify([Self.chain(25, key: other).lines], signers: []).summary.faults == 0)
        #expect(Self.verify([Self.chain(25, key: other).lines]).summary.faults > 0)
    }

    @Test("Lines that are missing are named")
    func removed() {
        var lines = Self.chain(45).lines
        lines.removeSubrange(20..<23)
        let (findings, summary) = Self.verify([lines])
        #expect(Self.kinds(findings) == ["21 missing"])
        #expect(findings[0].message == "lines 21 to 23 are missing before this one")
        #expect(summary.faults == 1)
        lines = Self.chain(45).lines
        lines.remove(at: 9)
        #expect(Self.kinds(Self.verify([lines]).findings) == ["10 missing"])
    }

    @Test("A line that was put between two is found, with a number of its own or that of another")
    func inserted() {
        let lines = Self.chain(45).lines
        var position = Self.chain(20).position
        position.hash[0] ^= 1
        for forged in [
            Self.chain(1, from: position).lines[0], Array(#"{"operation":"sign-tls13"}"#.utf8), Array("junk".utf8),
            Self.chain(1, from: Self.chain(20).position).lines[0],
        ] {
            var changed = lines
            changed.insert(forged, at: 20)
            let (findings, summary) = Self.verify([changed])
            #expect(summary.faults >= 1)
            #expect(findings.allSatisfy { (21...23).contains($0.line) }, "\(findings)")
        }
        var twice = lines
        twice.insert(lines[20], at: 21)
        #expect(Self.kinds(Self.verify([twice]).findings) == ["22 misplaced"])
    }

    @Test("Lines in another order are found, and the rest is still verified")
    func reordered() {
        var lines = Self.chain(45).lines
        lines.swapAt(20, 21)
        let swapped = Self.verify([lines])
        #expect(swapped.summary.faults >= 1)
        #expect(swapped.findings.allSatisfy { (21...23).contains($0.line) }, "\(swapped.findings)")
        lines = Self.chain(45).lines
        lines.insert(lines.remove(at: 12), at: 30)
        let moved = Self.verify([lines])
        #expect(Self.kinds(moved.findings) == ["13 missing", "31 misplaced"])
        lines = Self.chain(45).lines
        lines.insert(lines.remove(at: 30), at: 12)
        #expect(Self.kinds(Self.verify([lines]).findings) == ["13 misplaced", "32 missing"])
    }

    @Test("A line that is cut is found, at the end and in the middle")
    func truncated() {
        var lines = Self.chain(45).lines
        lines[20].removeLast(30)
        let middle = Self.verify([lines])
        #expect(middle.summary.faults >= 1)
        #expect(middle.findings[0].line == 21)
        lines = Self.chain(45).lines
        lines[44].removeLast(30)
        #expect(Self.kinds(Self.verify([lines], cutsLast: true).findings) == ["45 broken-off"])
    }

    @Test("An end that was cut shows against a number that was known; without it, only up to the last checkpoint")
    func cut() {
        let lines = Array(Self.chain(45).lines.prefix(42))
        #expect(Self.kinds(Self.verify([lines], expected: 45).findings) == ["42 cut"])
        let (findings, summary) = Self.verify([lines])
        #expect(findings == [])
        #expect(summary.last == 42)
        #expect(summary.signed == 40)
        #expect(!summary.hasEnded)
    }

    @Test("Files go on from one another; one that was replaced, or is missing, does not")
    func files() {
        let lines = Self.chain(60).lines
        let (one, two, three) = (Array(lines[..<20]), Array(lines[20..<40]), Array(lines[40...]))
        #expect(Self.verify([one, two, three]).findings == [])
        let missing = Self.verify([one, three])
        #expect(Self.kinds(missing.findings) == ["1 missing"])
        #expect(missing.findings[0].message.hasPrefix("the file does not go on where audit.0 ended: "))
        let other = Array(Self.chain(40, key: Curve25519.Signing.PrivateKey()).lines[20...])
        let replaced = Self.verify([one, other, three])
        #expect(replaced.summary.faults > 0)
        #expect(replaced.findings[0].file == "audit.1")
        // An older copy in the place of a file.
        let older = Self.verify([one, one, three])
        #expect(older.findings.first?.kind == .newChain)
        // Where what was before is not at hand.
        let late = Self.verify([two])
        #expect(late.summary.faults == 0)
        #expect(late.findings.map(\.kind) == [.note])
    }

    @Test("The first line of a file says what it follows from, and is verified by that")
    func firstLine() {
        let before = Self.chain(20).position
        var sealer = ChainSealer(before)
        var bytes: [UInt8] = []
        sealer.seal(Array(Self.body("audit-file", 1, #","after":"\#(before.hex)""#).utf8), into: &bytes)
        Self.checkpoint(&sealer, into: &bytes)
        var lines = Self.split(bytes)
        #expect(Self.verify([lines]).summary.faults == 0)
        lines[0][30] ^= 1
        #expect(Self.verify([lines]).summary.faults > 0)
    }

    @Test("What a crash left of a line is no fault where the next line says so, and is one where it does not")
    func crash() {
        let (lines, position) = Self.chain(20)
        let fragment = Array(Self.chain(1, from: position).lines[0].prefix(60))
        func continued(_ fragment: [UInt8]) -> [[UInt8]] {
            var sealer = ChainSealer(position)
            var bytes: [UInt8] = []
            let digest = Hex.text(SHA256.hash(data: fragment))
            sealer.seal(
                Array(
                    Self.body(
                        "audit-continued", 1, #","broken_bytes":\#(fragment.count),"broken_sha256":"\#(digest)""#
                    ).utf8), into: &bytes)
            Self.checkpoint(&sealer, into: &bytes)
            return Self.split(bytes)
        }
        let good = Self.verify([lines + [fragment] + continued(fragment)])
        #expect(good.summary.faults == 0)
        #expect(good.findings.map(\.kind) == [.note])
        var other = fragment
        other[40] ^= 1
        #expect(Self.verify([lines + [other] + continued(fragment)]).summary.faults == 1)
        #expect(Self.verify([lines + continued(fragment)]).summary.faults == 0)
        // A line that could not be written whole is written whole into the next file.
        let next = Self.chain(20, from: position).lines
        #expect(Self.verify([lines + [Array(next[0].prefix(50))], next], cutsLast: true).summary.faults <= 1)
    }

    @Test("A start from the checkpoint, after a run that did not end in order, is told and no fault")
    func forked() {
        let (lines, position) = Self.chain(20)
        let lost = Self.chain(5, from: position).lines
        var sealer = ChainSealer(position)
        var bytes: [UInt8] = []
        sealer.seal(Array(Self.body("start", 1, #","after":"\#(position.hex)""#).utf8), into: &bytes)
        Self.checkpoint(&sealer, into: &bytes)
        let (findings, summary) = Self.verify([lines + lost + Self.split(bytes)])
        #expect(summary.faults == 0)
        #expect(findings.map(\.kind) == [.note])
        // Nothing else goes back to a checkpoint.
        #expect(Self.verify([lines + lost + Self.chain(5, from: position).lines]).summary.faults > 0)
    }

    @Test("A checkpoint without signature, or by a key that is not named, counts as forged")
    func checkpoints() {
        var sealer = ChainSealer(.beginning)
        var bytes: [UInt8] = []
        sealer.seal(Array(Self.body("checkpoint", 1, #","key":"\#(Self.signer)""#).utf8), into: &bytes)
        #expect(Self.verify([Self.split(bytes)]).findings.contains { $0.kind == .forged })
        let other = Curve25519.Signing.PrivateKey()
        #expect(Self.kinds(Self.verify([Self.chain(10, key: other).lines]).findings).contains("10 forged"))
        #expect(
            Self.verify([Self.chain(10, key: other).lines], signers: [Self.signer, CheckpointSigner(other.publicKey)])
                .summary.faults == 0)
        // None at all, where there must be.
        #expect(Self.verify([Self.chain(9).lines]).findings.map(\.kind) == [.forged])
    }

    @Test("Whatever bytes stand there, nothing breaks, and every change is found")
    func random() {
        var generator = SystemRandomNumberGenerator()
        let lines = Self.chain(30).lines
        for _ in 0..<2000 {
            var changed = lines
            let line = Int.random(in: 0..<30, using: &generator)
            let byte = Int.random(in: 0..<changed[line].count, using: &generator)
            var other = UInt8.random(in: 0...255, using: &generator)
            if other == changed[line][byte] { other ^= 0x20 }
            changed[line][byte] = other
            #expect(Self.verify([changed]).summary.faults > 0)
        }
    }

    @Test("Files stand in the order of their chain, whatever the clock said, and by time where nothing follows")
    func order() throws {
        func file(_ name: String, _ lines: [[UInt8]]) -> ChainOrder.File {
            let sealed = lines.compactMap { SealedLine($0[...]) }
            return ChainOrder.File(name: name, first: sealed.first, last: sealed.last?.position)
        }
        let one = Self.chain(30)
        // Their first lines are of the same minute: the clock was set back.
        let (first, second, third) = (one.lines[4..<14], one.lines[14..<21], one.lines[21...])
        let files = [file("c", Array(third)), file("none", []), file("a", Array(first)), file("b", Array(second))]
        #expect(ChainOrder.names(of: files) == ["none", "a", "b", "c"])
        var back = ChainSealer(try #require(SealedLine(one.lines[20][...])).position)
        var bytes: [UInt8] = []
        back.seal(Array(Self.body("x").utf8), into: &bytes)
        #expect(
            ChainOrder.names(of: [file("late", Self.split(bytes)), file("a", Array(first)), file("b", Array(second))])
                == ["a", "b", "late"])
        // Of another chain.
        #expect(ChainOrder.names(of: [file("b", Array(second)), file("x", Self.chain(3).lines)]) == ["b", "x"])
    }

    @Test(
        "A number that no chain reaches is told, and ends nothing",
        arguments: [UInt64.max, UInt64.max - 1, UInt64(1) << 62])
    func beyond(number: UInt64) {
        let line = Array(
            "{\"seq\":\(number),\"operation\":\"x\",\"chain\":\"\(String(repeating: "0", count: 64))\"}".utf8)
        let lines = Self.chain(20).lines
        let (findings, summary) = Self.verify([lines + [line], [line], lines])
        #expect(summary.faults > 0, "\(findings)")
        // Before the chain it is what nothing protects.
        #expect(Self.verify([[line], lines]).findings.map(\.kind) == [.note])
        #expect(SealedLine(line[...]) == nil)
    }
}
