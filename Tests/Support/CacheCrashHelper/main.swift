// What the crash tests of the disk store kill: a process that checks what is stored, and then fills, validates and purges
// until it dies.
//
//   CacheCrashHelper <folder> <seed> <journal>
//
// It prints `ready <responses found>` after the check, and exits with 3 and a line saying why if anything is wrong.
// The journal, which belongs to no store, says which keys were purged for good up to which version.
import CacheStorage
import Foundation
import HTTPCaching
import HTTPFields
import Logging
import NIOCore
import NIOPosix

struct Wrong: Error, CustomStringConvertible {
    var description: String
}

/// A response whose every byte follows from its key's number and its version.
struct Subject {
    static let count = 120

    let number: Int
    let version: Int

    var key: CacheKey { CacheKey(site: "crash", uri: "https://crash.test/\(self.number % 7)/\(self.number)") }

    var length: Int {
        switch self.number % 4 {
        case 0: 200 + self.number * 7 + self.version % 50
        case 1: 17_000 + self.version % 1_000
        case 2: 65_536 * 2 + self.number + self.version % 3
        // Too large for memory: spooled.
        default: 300_000 + self.version % 10_000
        }
    }

    var body: ByteBuffer {
        var state: UInt64 = UInt64(self.number * 1_000_003 + self.version) &* 0x9E37_79B9_7F4A_7C15 | 1
        var buffer = ByteBufferAllocator().buffer(capacity: self.length + 8)
        while buffer.readableBytes < self.length {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            buffer.writeInteger(state)
        }
        return buffer.readSlice(length: self.length) ?? ByteBuffer()
    }

    var response: StoredResponse {
        StoredResponse(
            head: self.head, requestTime: 0, responseTime: 0, variant: .invariant,
            extent: .complete(length: Int64(self.length)),
            freshness: Freshness(initialAge: 0, lifetime: 1 << 50, source: .maxAge), tags: ["t\(self.number % 5)"])
    }

    private var head: EncodedHead {
        do {
            var head = try EncodedHead(status: 200, reason: "OK".utf8)
            try head.add(.etag, "\"\(self.version)\"".utf8)
            try head.add(.surrogateKey, "t\(self.number % 5)".utf8)
            return head
        } catch {
            preconditionFailure("a field is refused: \(error)")
        }
    }

    static func version(of entry: CachedResponse) -> Int? {
        entry.response.entityTag.flatMap {
            Int(String(decoding: entry.response.head.bytes[$0.opaque], as: UTF8.self))
        }
    }
}

/// Reads a body to its end.
func read(_ body: StoredBody, on loop: any EventLoop) async throws -> ByteBuffer? {
    let promise: EventLoopPromise<ByteBuffer?> = loop.makePromise()
    loop.execute {
        let box = NIOLoopBoundBox<BodyPump?>(nil, eventLoop: loop)
        let pump = BodyPump(promise)
        pump.reader = body.reader(on: loop) { box.value?.proceed() }
        box.value = pump
        promise.futureResult.assumeIsolated().whenComplete { _ in box.value = nil }
        pump.proceed()
    }
    return try await promise.futureResult.get()
}

final class BodyPump {
    var reader: BodyReader?
    private var collected = ByteBuffer()
    private let promise: EventLoopPromise<ByteBuffer?>

    init(_ promise: EventLoopPromise<ByteBuffer?>) {
        self.promise = promise
    }

    func proceed() {
        while let reader = self.reader {
            switch reader.read() {
            case .bytes(var bytes): self.collected.writeBuffer(&bytes)
            case .pending: return
            case .end:
                self.reader = nil
                self.promise.succeed(self.collected)
            case .truncated:
                self.reader = nil
                self.promise.succeed(nil)
            }
        }
    }
}

/// Everything that is served must be right, and nothing that was purged may be back.
func check(_ store: ResponseStore, purged: [Int: Int], on loop: any EventLoop) async throws -> Int {
    var found = 0
    for number in 0..<Subject.count {
        let key: CacheKey = Subject(number: number, version: 0).key
        guard store.mayBeOnDisk(key, besides: StoredVariants()) else { continue }
        for entry in try await store.load(key, on: loop).get() {
            guard let version = Subject.version(of: entry) else { throw Wrong(description: "\(number) has no version") }
            if let last = purged[number], version <= last {
                throw Wrong(description: "\(number) version \(version) is back, purged up to \(last)")
            }
            // A body that ends early is no wrong byte, and the message is not taken for complete.
            guard let bytes = try await read(entry.body, on: loop) else { continue }
            guard bytes == Subject(number: number, version: version).body else {
                throw Wrong(description: "\(number) version \(version) has other bytes")
            }
            found += 1
        }
    }
    return found
}

let arguments: [String] = CommandLine.arguments
guard arguments.count == 4, let seed = UInt64(arguments[2]) else { exit(2) }
let journal: String = arguments[3]
var purged: [Int: Int] = [:]
for line in ((try? String(contentsOfFile: journal, encoding: .utf8)) ?? "").split(separator: "\n") {
    let parts: [Int] = line.split(separator: " ").compactMap { Int($0) }
    if parts.count == 2 { purged[parts[0]] = max(parts[1], purged[parts[0]] ?? 0) }
}
let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
var logger = Logger(label: "crash")
logger.logLevel = .error
let descriptor: CInt = open(journal, O_WRONLY | O_CREAT | O_APPEND, 0o600)

do {
    let store: ResponseStore = try await ResponseStore.open(
        limits: StoreLimits(memoryBytes: 8 << 20, memoryObjectBytes: 150_000),
        disk: DiskLimits(path: arguments[1], bytes: 12 << 20), eventLoops: MultiThreadedEventLoopGroup.singleton,
        logger: logger, now: Int64(Date().timeIntervalSince1970 * 1000))
    let found: Int = try await check(store, purged: purged, on: loop)
    FileHandle.standardOutput.write(Data("ready \(found)\n".utf8))

    // Versions rise from run to run.
    var version = Int(Date().timeIntervalSince1970 * 1_000_000)
    var random = seed | 1
    func next(_ bound: Int) -> Int {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return Int(random >> 33) % bound
    }
    while true {
        version += 1
        let subject = Subject(number: next(Subject.count), version: version)
        switch next(20) {
        case 0:
            // Everything up to this version, stored or on its way, is gone for good once this returns.
            try await store.purgeDurably(.key(subject.key), .remove)
            let line = Array("\(subject.number) \(version)\n".utf8)
            _ = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        case 1:
            store.purge(.tag("t\(next(5))", site: nil), .markStale(at: 1))
        case 2:
            if let entry = store.lookup(subject.key).first {
                store.update(entry, with: entry.response, since: store.generation)
            }
        default:
            guard case .lead(let writer) = store.flight(for: subject.key, now: 0) else { break }
            writer.begin(subject.response)
            var body: ByteBuffer = subject.body
            while let piece = body.readSlice(length: min(50_000, body.readableBytes)), piece.readableBytes > 0 {
                while writer.append(piece) == .pause { try await Task.sleep(nanoseconds: 100_000) }
            }
            writer.finish()
        }
        if (store.statistics.disk?.pendingOperations ?? 0) > 100 { try await Task.sleep(nanoseconds: 1_000_000) }
    }
} catch {
    FileHandle.standardOutput.write(Data("wrong: \(error)\n".utf8))
    exit(3)
}
