import Foundation
import Testing

@testable import SecretFiles

@Suite("Files that hold a secret")
final class SecretFileTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("secret-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: self.folder)
    }

    private func make(_ name: String = "a.key", _ content: Data = Data("secret\n".utf8), mode: Int = 0o600) -> String {
        let path = self.folder.appendingPathComponent(name).path
        _ = FileManager.default.createFile(atPath: path, contents: content, attributes: [.posixPermissions: mode])
        return path
    }

    @Test("The owner's own file may be open to no other user")
    func ownMode() {
        for mode: UInt32 in [0o600, 0o400, 0o700, 0o200] {
            #expect(SecretFile.judge(.init(mode: 0o100000 | mode, owner: 7, size: 9), user: 7) == nil)
        }
        for mode: UInt32 in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777, 0o440] {
            #expect(
                SecretFile.judge(.init(mode: 0o100000 | mode, owner: 7, size: 9), user: 7) == .open(mode: mode))
        }
    }

    @Test(
        "A file of root's may be read by its group, and by no other user, be it root that runs this or a service",
        arguments: [0, 7])
    func rootsMode(user: UInt32) {
        for mode: UInt32 in [0o600, 0o640, 0o440, 0o400] {
            #expect(SecretFile.judge(.init(mode: 0o100000 | mode, owner: 0, size: 9), user: user) == nil)
        }
        for mode: UInt32 in [0o644, 0o660, 0o650, 0o604, 0o642] {
            #expect(
                SecretFile.judge(.init(mode: 0o100000 | mode, owner: 0, size: 9), user: user) == .open(mode: mode))
        }
    }

    @Test("A file of another user's is refused, by root too")
    func owners() {
        #expect(SecretFile.judge(.init(mode: 0o100600, owner: 8, size: 9), user: 7) == .owner(8, wanted: 7))
        #expect(SecretFile.judge(.init(mode: 0o100600, owner: 8, size: 9), user: 0) == .owner(8, wanted: 0))
    }

    @Test("Only regular files, up to 1 MiB")
    func kinds() {
        for type: UInt32 in [0o010000, 0o020000, 0o040000, 0o060000, 0o120000, 0o140000] {
            #expect(SecretFile.judge(.init(mode: type | 0o600, owner: 7, size: 9), user: 7) == .notRegular)
        }
        #expect(SecretFile.judge(.init(mode: 0o100600, owner: 7, size: 1 << 20), user: 7) == nil)
        #expect(SecretFile.judge(.init(mode: 0o100600, owner: 7, size: (1 << 20) + 1), user: 7) == .tooLarge)
    }

    @Test("A good file is read whole, through a link too")
    func reading() throws {
        let long = String(repeating: "0123456789abcdef", count: 10_000)
        #expect(try SecretFile.read(self.make("b.key", Data(long.utf8))) == long)
        let path = self.make()
        let link = self.folder.appendingPathComponent("link").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        #expect(try SecretFile.read(link) == "secret\n")
        #expect(SecretFile.problem(link) == nil)
    }

    @Test("A bad file is not read, and the text says how to mend it")
    func refusing() throws {
        let open = self.make(mode: 0o644)
        let error = SecretFileError(path: open, reason: .open(mode: 0o644))
        #expect(throws: error) { try SecretFile.read(open) }
        #expect(SecretFile.problem(open) == error)
        #expect(
            "\(error)" == "other users can read the secret in \"\(open)\" (mode 0644). Run chmod 600 \(open)")
        let written = self.make("w.key", mode: 0o602)
        #expect(SecretFile.problem(written)?.message.hasPrefix("other users can write the secret") == true)
        #expect(SecretFile.problem(self.folder.path)?.reason == .notRegular)
        #expect(SecretFile.problem(self.folder.path + "/none")?.reason == .system(ENOENT))
        let binary = self.make("x.key", Data([0xFF, 0xFE, 0x00]))
        #expect(throws: SecretFileError(path: binary, reason: .notText)) { try SecretFile.read(binary) }
        let large = self.make("l.key", Data(count: (1 << 20) + 1))
        #expect(throws: SecretFileError(path: large, reason: .tooLarge)) { try SecretFile.read(large) }
    }

    @Test("A named pipe is refused at once, without waiting for its other end", .timeLimit(.minutes(1)))
    func pipes() {
        let path = self.folder.appendingPathComponent("pipe").path
        #expect(mkfifo(path, 0o600) == 0)
        #expect(SecretFile.problem(path)?.reason == .notRegular)
    }

    @Test("A file of another user's, made for real", .enabled(if: geteuid() == 0))
    func anotherOwner() throws {
        let path = self.make()
        #expect(chown(path, 65534, 65534) == 0)
        #expect(SecretFile.problem(path)?.reason == .owner(65534, wanted: 0))
        #expect(SecretFile.problem(path)?.remedy.hasSuffix("chown 0 \(path)") == true)
    }
}
