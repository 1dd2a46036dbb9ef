import Foundation
import HSMWire
import Logging
import PrivateAuthority
import TestLogs
import TestSockets
import TestToken
import Testing
import X509

@testable import HSMKeys
@testable import KeyHolder

@Suite(
    "Modules that crash, hang and lie", .enabled(if: SoftToken.isInstalled, "softhsm2 is not installed"),
    .timeLimit(.minutes(3)))
struct BrokenModuleTests {
    @Test(
        "A worker that ends, or whose session or token is gone, is replaced within the operation",
        arguments: ["crashes-once", "removed-once", "session-gone-once", "logged-out-once"])
    func once(_ fault: String) async throws {
        try await blocking {
            let (token, publicKey) = try TokenKeyTests.stage()
            let store = token.store()
            let key = try store.key(from: try FaultyToken.key("www"), for: publicKey)
            try token.setFault(fault)
            #expect(try TokenKeyTests.isValid(try TokenKeyTests.sign(key), publicKey))
            #expect(store.isWell)
            #expect(token.calls("login") == 2)
        }
    }

    @Test("A module that crashes at each signature is started again with pauses, and works when it is mended")
    func crashes() async throws {
        try await blocking {
            let (token, publicKey) = try TokenKeyTests.stage()
            let store = token.store()
            let key = try store.key(from: try FaultyToken.key("www"), for: publicKey)
            let before = token.calls("sign")
            try token.setFault("crashes")
            for _ in 0..<50 { #expect(throws: KeyOperationError.failed) { try TokenKeyTests.sign(key) } }
            // Two of the first operation, and few after pauses of half a second and more.
            #expect((2...6).contains(token.calls("sign") - before))
            #expect(!store.isWell)
            try token.setFault(nil)
            let signature = try eventually("the HSM working again") { try? TokenKeyTests.sign(key) }
            #expect(try TokenKeyTests.isValid(signature, publicKey))
            #expect(store.isWell)
            #expect(token.recorder.lines("the HSM works again").count == 1)
        }
    }

    @Test("A module that hangs costs one operation its time, and its process is ended")
    func hangs() async throws {
        try await blocking {
            let (token, publicKey) = try TokenKeyTests.stage()
            let store = token.store(timeout: .seconds(2))
            let key = try store.key(from: try FaultyToken.key("www"), for: publicKey)
            let ready = try #require(token.recorder.lines("a worker of the HSM is ready").last?.metadata["pid"])
            let pid = try #require(pid_t(ready))
            try token.setFault("hangs")
            let begin = ContinuousClock.now
            #expect(throws: KeyOperationError.failed) { try TokenKeyTests.sign(key) }
            #expect(ContinuousClock.now - begin < .seconds(6))
            #expect(kill(pid, 0) != 0 && errno == ESRCH)
            try token.setFault(nil)
            let signature = try eventually("the HSM working again") { try? TokenKeyTests.sign(key) }
            #expect(try TokenKeyTests.isValid(signature, publicKey))
        }
    }

    @Test("A wrong signature does not leave", arguments: ["wrong", "long", "short"])
    func lies(_ fault: String) async throws {
        try await blocking {
            let (token, publicKey) = try TokenKeyTests.stage()
            let key = try token.store().key(from: try FaultyToken.key("www"), for: publicKey)
            try token.setFault(fault)
            #expect(throws: KeyOperationError.failed) { try TokenKeyTests.sign(key) }
            try token.setFault(nil)
            let signature = try eventually("the HSM working again") { try? TokenKeyTests.sign(key) }
            #expect(try TokenKeyTests.isValid(signature, publicKey))
        }
    }

    @Test("A mechanism that the token does not have is no reason to start the worker again")
    func mechanism() async throws {
        try await blocking {
            let (token, publicKey) = try TokenKeyTests.stage()
            let key = try token.store().key(from: try FaultyToken.key("www"), for: publicKey)
            try token.setFault("no-mechanism")
            for _ in 0..<5 { #expect(throws: KeyOperationError.failed) { try TokenKeyTests.sign(key) } }
            #expect(token.calls("login") == 1)
        }
    }

    @Test("Many operations at once go through a few workers")
    func many() async throws {
        let (token, publicKey) = try await blocking { try TokenKeyTests.stage() }
        let key = try await blocking {
            try token.store(workers: 2).key(from: try FaultyToken.key("www"), for: publicKey)
        }
        let signatures = try await withThrowingTaskGroup(of: [UInt8].self, returning: [[UInt8]].self) { group in
            for _ in 0..<16 { group.addTask { try await blocking { try TokenKeyTests.sign(key) } } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(signatures.count == 16)
        #expect(try signatures.allSatisfy { try TokenKeyTests.isValid($0, publicKey) })
        #expect(token.recorder.lines("a worker of the HSM is ready").count <= 2)
    }
}

@Suite("Workers that do not keep to the protocol", .timeLimit(.minutes(2)))
struct HostileWorkerTests {
    /// A worker that is a shell script: it has its end of the connection as descriptor 3.
    static func failure(_ script: String) throws -> (text: String, time: Duration) {
        let store = HSMKeyStore(
            TokenModule(module: "/module.so", workers: 1, timeout: .milliseconds(200)), logger: .init(label: "test"),
            program: ["/bin/sh", "-c", script])
        let publicKey = try FaultyToken.site(.p256).publicKey
        let begin = ContinuousClock.now
        let error = #expect(throws: SiteLoadError.self) {
            try store.key(from: try FaultyToken.key("www"), for: publicKey)
        }
        return ("\(try #require(error))", ContinuousClock.now - begin)
    }

    /// Four bytes of length, kind, number 1, body; as printf has them.
    @Test(
        "What is no answer ends the worker at once",
        arguments: [
            (#"printf '\377\377\377\377' >&3; sleep 60"#, "no answer"),
            (#"printf '\0\0\0\0' >&3; sleep 60"#, "no answer"),
            (#"head -c 100000 /dev/urandom | tr '\0-\100' 'z' >&3; sleep 60"#, "no answer"),
            (#"printf '\0\0\0\005\002\0\0\0\011' >&3; sleep 60"#, "answer to something else"),
            (#"printf '\0\0\0\005\002\0\0\0\001' >&3; sleep 60"#, "answer to something else"),
            (#"printf '\0\0\0\011\003\0\0\0\001\0\0\0\001' >&3; sleep 60"#, "answer to something else"),
            ("exit 7", "exit status 7"),
            ("kill -SEGV $$", "signal 11"),
            ("exec 3>&-; sleep 60", "closed the connection"),
        ])
    func noAnswer(_ script: String, _ text: String) async throws {
        let (message, time) = try await blocking { try Self.failure(script) }
        #expect(message.contains(text), "\(message)")
        #expect(time < .seconds(5))
    }

    @Test("A program that cannot be run is said")
    func noProgram() async throws {
        try await blocking {
            let store = HSMKeyStore(
                TokenModule(module: "/module.so"), logger: .init(label: "test"), program: ["/nonexistent"])
            let publicKey = try FaultyToken.site(.p256).publicKey
            let error = #expect(throws: SiteLoadError.self) {
                try store.key(from: try FaultyToken.key("www"), for: publicKey)
            }
            #expect(error?.description.contains("cannot be started") == true)
        }
    }

    @Test("A worker has no open file of the key holder's, and ends when the key holder does not need it")
    func descriptors() async throws {
        try await blocking {
            let folder = FileManager.default.temporaryDirectory.appending(path: "latchstring-fd-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            _ = try Self.failure("ls /proc/self/fd > \(folder.path)/fds; exit 0")
            let text = try String(contentsOf: folder.appending(path: "fds"), encoding: .utf8)
            // 3 is the connection, 4 the folder that `ls` reads.
            #expect(text.split(separator: "\n") == ["0", "1", "2", "3", "4"])
        }
    }
}
