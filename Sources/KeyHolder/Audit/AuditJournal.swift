import AuditChain
import Crypto

/// Lines on their way into an output: sealed, in their order, and kept until they are written whole. Only used on the writer's thread.
struct AuditJournal {
    private var output: any AuditOutput
    private var sealer: ChainSealer
    private let key: Curve25519.Signing.PrivateKey?
    /// Sealed, and not written. May begin within a line.
    private var unwritten: ArraySlice<UInt8> = []
    /// Of the line that ``unwritten`` begins within.
    private var begun: [UInt8] = []
    /// Lines of which something is not written.
    private(set) var unwrittenLines: Int = 0
    /// Lines since the last checkpoint.
    private(set) var unsigned: Int = 0

    init(_ output: any AuditOutput, _ origin: AuditOrigin) {
        self.output = output
        self.sealer = ChainSealer(origin.position)
        self.key = origin.key
        if origin.needsLineFeed { self.unwritten = [0x0A] }
    }

    var position: ChainPosition { self.sealer.position }
    var unwrittenBytes: Int { self.unwritten.count }
    var signer: CheckpointSigner? { self.key.map { CheckpointSigner($0.publicKey) } }

    /// Takes in bodies of lines, as ``AuditRecord/appendBody(to:)`` makes them.
    mutating func add(_ bodies: [UInt8], count: Int) {
        guard count > 0 else { return }
        var lines: [UInt8] = []
        lines.reserveCapacity(self.unwritten.count + bodies.count + 96 * count)
        lines += self.unwritten
        self.sealer.seal(bodies, into: &lines)
        self.unwritten = lines[...]
        self.unwrittenLines += count
        self.unsigned += count
    }

    /// Takes in a line of the chain's own.
    mutating func add(_ record: AuditRecord) {
        var body: [UInt8] = []
        record.appendBody(to: &body)
        self.add(body, count: 1)
    }

    /// Signs what was taken in so far.
    ///
    /// - Parameter time: milliseconds since 1970 UTC.
    /// - Returns: Whether there is a key to do so.
    mutating func addCheckpoint(time: Int64) -> Bool {
        guard let key = self.key, let signer = self.signer else { return false }
        var body: [UInt8] = []
        var record = AuditRecord(time: time, event: .checkpoint)
        record.members = .signer("\(signer)")
        record.appendBody(to: &body)
        var lines = Array(self.unwritten)
        self.sealer.seal(body.dropLast(), signingWith: key, into: &lines)
        self.unwritten = lines[...]
        self.unwrittenLines += 1
        self.unsigned = 0
        return true
    }

    /// Whether something has cut the output since the last call. A line of which a part was in it is written whole then.
    mutating func wasTruncated() -> Bool {
        guard self.output.wasTruncated() else { return false }
        self.takeBackBegun()
        return true
    }

    /// The output has lost the part of a line that was written to it.
    private mutating func takeBackBegun() {
        self.unwritten = (self.begun + self.unwritten)[...]
        self.begun = []
    }

    mutating func reserve(low: Int, high: Int) -> AuditOutputError? {
        do throws(AuditOutputError) {
            try self.output.reserve(low: self.unwritten.count + low, high: self.unwritten.count + high)
            return nil
        } catch {
            return error
        }
    }

    /// Writes what there is.
    ///
    /// - Returns: Why not all of it; nil: it is written.
    mutating func drain() -> AuditOutputError? {
        while !self.unwritten.isEmpty {
            switch self.output.write(self.unwritten) {
            case .failure(let error): return error
            case .success(let count):
                let written = self.unwritten.prefix(count)
                self.unwritten = self.unwritten.dropFirst(count)
                if let end = written.lastIndex(of: 0x0A) {
                    self.begun = Array(written[(end + 1)...])
                } else {
                    self.begun += written
                }
            }
        }
        self.unwritten = []
        self.unwrittenLines = 0
        return nil
    }

    func isWritten(to file: AuditFile.Identity) -> Bool { (self.output as? AuditFile)?.identity == file }

    /// Goes on in another file. A line of which the former has a part is written whole to this one.
    ///
    /// - Parameter isSigned: Told where the chain stands, once the former file ends with a checkpoint. The other file begins afterwards.
    /// - Returns: Lines that came to those that are not written.
    mutating func turnOver(
        to fresh: any AuditOutput, time: Int64, isSigned: (ChainPosition) -> Void = { _ in }
    ) -> Int {
        let before = self.unwrittenLines
        if self.addCheckpoint(time: time), self.drain() == nil { isSigned(self.position) }
        self.output.close()
        self.output = fresh
        self.takeBackBegun()
        var record = AuditRecord(time: time, event: .auditFile)
        record.members = .after(self.position.hex)
        self.add(record)
        return self.unwrittenLines - before
    }

    mutating func close() { self.output.close() }
}
