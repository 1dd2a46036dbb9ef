import Foundation
import HSMWire
import SecretFiles
import Testing

@testable import HSMKeys

#if os(Linux)
    @Suite("What is left of a PIN in memory", .serialized)
    struct PINMemoryTests {
        /// A PIN that stands nowhere: it comes out of this and a mask when it is needed.
        private let masked: [UInt8] = {
            var random = SystemRandomNumberGenerator()
            return (0..<48).map { _ in UInt8.random(in: 0...255, using: &random) }
        }()

        private var pin: [UInt8] { self.masked.map { ($0 ^ 0x5A) | 0x20 } }

        /// Writes the PIN's file without a copy that stays.
        private func writeFile() throws -> String {
            let path = FileManager.default.temporaryDirectory.appending(path: "latchstring-pin-\(UUID().uuidString)")
                .path
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            let pin = self.pin
            defer { SecretFile.wipe(pin) }
            try #require(pin.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == pin.count)
            return path
        }

        @Test("The search finds a PIN that is not wiped")
        func control() throws {
            let pin = self.pin
            #expect(try self.copies() == 1)
            SecretFile.wipe(pin)
            #expect(try self.copies() == 0)
        }

        @Test("Reading it, hashing it, and a worker's login leave no copy")
        func login() throws {
            let path = try self.writeFile()
            defer { unlink(path) }
            #expect(try self.copies() == 0)
            let pin = try PINReader.read(.file(path))
            let desk = LoginDesk(refused: nil)
            _ = desk.hash(pin)
            let refused = RefusedPINs(path: "\(path).refused")
            let token = PINGate.Token(label: "bank", serial: "1")
            _ = try refused.note(pin, token)
            defer { unlink("\(path).refused") }
            #expect(try refused.contains(pin, token))
            let frame = try #require(WorkerRequest.login(pin: pin).encode(number: 1))
            // What a worker does with it.
            let received = [UInt8](unsafeUninitializedCapacity: frame.count - 4) {
                $1 = $0.initialize(fromContentsOf: frame.dropFirst(4))
            }
            let (_, request) = try WorkerRequest.decode(received)
            guard case .login(let arrived) = request else {
                Issue.record("no login")
                return
            }
            #expect(arrived == pin)
            for bytes in [arrived, received, frame, pin] { SecretFile.wipe(bytes) }
            #expect(try self.copies() == 0)
        }

        /// The whole list, which the kernel gives in pieces of a page: Foundation takes a short one for the last.
        private static func mappings() throws -> String {
            let descriptor = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            var list: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(descriptor, &piece, piece.count)
                try #require(count >= 0)
                if count == 0 { return String(decoding: list, as: UTF8.self) }
                list += piece[..<count]
            }
        }

        /// How often the PIN stands in this process's writable memory.
        private func copies() throws -> Int {
            let size = 1 << 20
            // Memory of its own, which is not searched: mapped, so that it is a line of its own in the list.
            let map = mmap(nil, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            let buffer = try #require(map == MAP_FAILED ? nil : map)
            defer { munmap(buffer, size * 2) }
            let needle = buffer + size
            for (index, byte) in self.masked.enumerated() {
                needle.storeBytes(of: (byte ^ 0x5A) | 0x20, toByteOffset: index, as: UInt8.self)
            }
            let own = UInt64(UInt(bitPattern: buffer))..<UInt64(UInt(bitPattern: buffer + 2 * size))
            let descriptor = open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            var found: Set<UInt64> = []
            let list = try Self.mappings()
            try #require(list.contains("[stack]"))
            for line in list.split(separator: "\n") {
                let words = line.split(separator: " ")
                let ends = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
                guard ends.count == 2, words[1].hasPrefix("rw") else { continue }
                var at = ends[0]
                while at < ends[1] {
                    let count = pread(descriptor, buffer, min(size, Int(ends[1] - at)), off_t(at))
                    guard count > self.masked.count else {
                        at += UInt64(size)
                        continue
                    }
                    let (length, first) = (self.masked.count, CInt(needle.load(as: UInt8.self)))
                    var from = 0
                    while from + length <= count, let hit = memchr(buffer + from, first, count - from - length + 1) {
                        let offset = UnsafeRawPointer(hit) - UnsafeRawPointer(buffer)
                        let address = at + UInt64(offset)
                        if memcmp(hit, needle, length) == 0, !own.contains(address) { found.insert(address) }
                        from = offset + 1
                    }
                    // Ends of pieces overlap.
                    at += UInt64(count == Int(ends[1] - at) ? count : count - self.masked.count)
                }
            }
            return found.count
        }
    }
#endif
