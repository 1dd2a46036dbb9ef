/// Which orders of one signer an edge has done: all from `first` to `last`, one by one or by removing everything, but for the
/// exceptions.
public struct SignerProgress: Equatable, Sendable {
    public var first: UInt64
    /// The highest counter that was heard.
    public var last: UInt64
    /// Orders in between that were refused: ascending.
    public private(set) var exceptions: [UInt64] = []
    /// ``PurgeEntry/identity`` of the last one.
    public var identity: [UInt8]
    /// Whether an order was heard that was not too old. Until then it claims nothing, and no number is missed.
    public var isBegun: Bool

    /// With more exceptions, it says nothing of what is before the oldest of them.
    static let exceptionLimit = 64

    /// One order was heard.
    public init(heard order: PurgeEntry, isBegun: Bool = true) {
        self.first = order.counter
        self.last = order.counter
        self.identity = order.identity
        self.isBegun = isBegun
    }

    init(first: UInt64, last: UInt64, exceptions: [UInt64], identity: [UInt8], isBegun: Bool) {
        self.isBegun = isBegun
        self.first = first
        self.last = last
        self.exceptions = exceptions
        self.identity = identity
    }

    /// Whether an order with this counter has been done.
    public func includes(_ counter: UInt64) -> Bool {
        counter >= self.first && counter <= self.last && !self.exceptions.contains(counter)
    }

    mutating func except(_ counter: UInt64) {
        guard !self.exceptions.contains(counter) else { return }
        self.exceptions.append(counter)
        self.exceptions.sort()
        if self.exceptions.count > Self.exceptionLimit { self.first = self.exceptions.removeFirst() + 1 }
    }

    func write(to writer: inout FieldWriter) {
        writer.write(self.first)
        writer.write(self.last)
        writer.writeCounted(self.identity, by: UInt8.self)
        writer.write(self.isBegun ? 1 : 0 as UInt8)
        writer.write(UInt8(clamping: self.exceptions.count))
        for counter in self.exceptions { writer.write(counter) }
    }
}

extension FieldReader {
    mutating func progress() -> SignerProgress? {
        guard let first = self.integer(as: UInt64.self), let last = self.integer(as: UInt64.self),
            let identity = self.counted(by: UInt8.self), let begun = self.byte(), begun <= 1, let count = self.byte(),
            Int(count) <= SignerProgress.exceptionLimit
        else { return nil }
        var exceptions: [UInt64] = []
        for _ in 0..<count {
            guard let counter = self.integer(as: UInt64.self) else { return nil }
            exceptions.append(counter)
        }
        return SignerProgress(first: first, last: last, exceptions: exceptions, identity: identity, isBegun: begun == 1)
    }

    mutating func signers() -> [SignerKey: SignerProgress]? {
        guard let count = self.integer(as: UInt16.self) else { return nil }
        var signers: [SignerKey: SignerProgress] = [:]
        for _ in 0..<count {
            guard let key = self.bytes(32).flatMap({ SignerKey($0) }), let progress = self.progress() else {
                return nil
            }
            signers[key] = progress
        }
        return signers
    }

    mutating func refusals() -> [Refusal]? {
        guard let count = self.integer(as: UInt16.self) else { return nil }
        var refusals: [Refusal] = []
        for _ in 0..<count {
            guard let id = self.streamID(), let mark = self.bytes(16),
                let reason = self.byte().flatMap({ RefusalReason(rawValue: $0) })
            else { return nil }
            refusals.append(Refusal(id: id, mark: mark, reason: reason))
        }
        return refusals
    }

    mutating func streamID() -> StreamID? {
        guard let milliseconds = self.integer(as: UInt64.self), let sequence = self.integer(as: UInt64.self) else {
            return nil
        }
        return StreamID(milliseconds, sequence)
    }
}

extension FieldWriter {
    mutating func write(_ id: StreamID) {
        self.write(id.milliseconds)
        self.write(id.sequence)
    }

    mutating func write(_ signers: [SignerKey: SignerProgress]) {
        self.write(UInt16(clamping: signers.count))
        for (key, progress) in signers.sorted(by: { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }) {
            self.write(key.bytes)
            progress.write(to: &self)
        }
    }

    mutating func write(_ refusals: [Refusal]) {
        self.write(UInt16(clamping: refusals.count))
        for refusal in refusals {
            self.write(refusal.id)
            self.write(refusal.mark)
            self.write(refusal.reason.rawValue)
        }
    }
}
