internal import Crypto
internal import FleetBus
internal import Foundation

/// The orders of one signer to one fleet, counted: each has a number, none is left out, and none is used twice.
///
/// The count stands in `KEY.FLEET.counter` beside the key, with the order that is being written, always flushed; which of these the
/// bus has confirmed, in `KEY.FLEET.counter.done`, which may be lost. An order that has been sent and
/// not confirmed is written again, under its number, before the next one, whatever the bus said of it: so a failure leaves no
/// gap, which edges would have to take for a purge that was hidden from them, and a bus that says that it has not taken an
/// order, and keeps it, can't show edges another one under its number. A count that is lost begins at the time in
/// milliseconds: ahead of what was used, which edges see as one gap.
public struct OrderBook: Sendable {
    private struct Page: Codable {
        var counter: UInt64
        /// What was to be written under `counter + 1`, and may have been.
        var pending: Order?
    }

    struct Order: Codable, Equatable {
        var counter: UInt64
        var time: Int64
        /// A ``PurgeEntry``, as it was signed last.
        var entry: [UInt8]
    }

    public enum Failure: Error, Equatable, CustomStringConvertible {
        /// Another process has it.
        case busy(String)
        case unusable(String)

        public var description: String {
            switch self {
            case .busy(let path): "another process is writing purges with this key (\(path) is locked)"
            case .unusable(let reason): reason
            }
        }
    }

    let signer: SigningKey
    private let fleet: String
    private let path: String
    private let lock: DurableFile.Lock
    private var page: Page

    /// Opens the book, and holds it against other processes until ``close()``. Blocks, for ten seconds at most.
    ///
    /// - Parameter now: milliseconds since 1970.
    init(_ signer: SigningKey, fleet: String, now: Int64) throws(Failure) {
        self.signer = signer
        self.fleet = fleet
        self.path = Self.path(signer, fleet: fleet)
        do {
            guard let lock = try DurableFile.lock(self.path + ".lock", seconds: 10) else {
                throw Failure.busy(self.path)
            }
            self.lock = lock
        } catch let error as DurableFile.Failure {
            throw .unusable("\(error)")
        } catch {
            throw .busy(self.path)
        }
        do {
            if let bytes = try DurableFile.read(self.path) {
                guard let page = try? JSONDecoder().decode(Page.self, from: Data(bytes)), page.counter < .max / 2 else {
                    throw Failure.unusable(
                        "\(self.path) is no count of orders. If it is damaged, remove it: edges then empty their caches once"
                    )
                }
                self.page = page
                if let pending = page.pending, let done = try DurableFile.read(self.path + ".done"),
                    String(decoding: done, as: UTF8.self) == "\(pending.counter)"
                {
                    self.page = Page(counter: pending.counter, pending: nil)
                }
            } else {
                self.page = Page(counter: UInt64(max(1, now)), pending: nil)
            }
        } catch {
            self.lock.release()
            throw .unusable("\(error)")
        }
    }

    /// Where the orders of a key to a fleet are counted.
    static func path(_ signer: SigningKey, fleet: String) -> String { "\(signer.path).\(fleet).counter" }

    func close() { self.lock.release() }

    /// The number of the next order.
    var next: UInt64 { self.page.counter + 1 }

    /// An order that may have been written.
    var pending: PurgeEntry? {
        guard let order = self.page.pending, order.counter == self.next else { return nil }
        let own = Signer(name: "own", key: self.signer.publicKey, rights: .everything)
        return try? PurgeEntry.open(order.entry, fleet: self.fleet, signers: [own.key: own]).0
    }

    /// Signs an order under the next number, and notes it before it is written to a bus.
    mutating func begin(_ purge: FleetPurge, generation: Generation, now: Int64) throws -> (PurgeEntry, [UInt8]) {
        let entry = PurgeEntry(
            fleet: self.fleet, signer: self.signer.publicKey, counter: self.next, time: max(0, now),
            generation: generation,
            purge: purge)
        let bytes = try entry.signed(by: self.signer.key)
        self.page.pending = Order(counter: entry.counter, time: entry.time, entry: bytes)
        try self.save()
        return (entry, bytes)
    }

    /// The order is on the bus. If this is lost, it is written again, which edges recognise: so nothing waits for the disk.
    mutating func written() throws {
        self.page.counter += 1
        self.page.pending = nil
        try DurableFile.write(Array("\(self.page.counter)".utf8), to: self.path + ".done", flushes: false)
    }

    private func save() throws {
        let encoder = JSONEncoder()
        try DurableFile.write(Array(try encoder.encode(self.page)), to: self.path)
    }
}
