import Foundation
import Testing

@testable import SecretFiles

/// What is written can be read by the rule, and replaces the old file whole.
@Suite struct SecretFileWritingTests {
    private let folder = FileManager.default.temporaryDirectory.appending(
        path: "latchstring-write-\(UUID().uuidString)"
    ).path

    private func path(_ name: String) -> String { "\(self.folder)/\(name)" }

    @Test func writtenAndReplaced() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        try SecretFile.makeFolder(self.path("a/b"))
        let file = self.path("a/b/key")
        try SecretFile.write("one", to: file)
        #expect(try SecretFile.read(file) == "one")
        try SecretFile.write("two", to: file)
        #expect(try SecretFile.read(file) == "two")
        let permissions = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(permissions == 0o600)
        let folder = try FileManager.default.attributesOfItem(atPath: self.path("a"))[.posixPermissions] as? Int
        #expect(folder == 0o700)
        #expect(try FileManager.default.contentsOfDirectory(atPath: self.path("a/b")) == ["key"])
        try SecretFile.rename(file, to: self.path("a/b/old"))
        try SecretFile.remove(self.path("a/b/old"))
        try SecretFile.remove(self.path("a/b/old"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: self.path("a/b")).isEmpty)
    }

    /// A service that reads a file by its group goes on reading it when root puts another in its place.
    @Test func readersAreKept() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        try SecretFile.makeFolder(self.folder)
        let file = self.path("ticket-keys")
        try SecretFile.write("one", to: file)
        let isRoot = getuid() == 0
        #expect(chmod(file, 0o640) == 0 && (!isRoot || chown(file, 0, 4711) == 0))
        try SecretFile.write("two", to: file, keepsReaders: true)
        let facts = try FileManager.default.attributesOfItem(atPath: file)
        #expect(facts[.posixPermissions] as? Int == 0o640)
        #expect(!isRoot || facts[.groupOwnerAccountID] as? Int == 4711)
        try SecretFile.write("three", to: file)
        #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
    }

    /// What a crash in the middle left is in no writer's way, whatever its mode.
    @Test func aHalfWrittenFileIsLeftBehind() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        try SecretFile.makeFolder(self.folder)
        #expect(
            FileManager.default.createFile(
                atPath: self.path("key.new"), contents: Data("ha".utf8), attributes: [.posixPermissions: 0o644]))
        try SecretFile.write("whole", to: self.path("key"))
        #expect(try SecretFile.read(self.path("key")) == "whole")
    }

    @Test func aLinkIsReplacedAndNotFollowed() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        try SecretFile.makeFolder(self.folder)
        try SecretFile.write("target", to: self.path("target"))
        try FileManager.default.createSymbolicLink(atPath: self.path("key"), withDestinationPath: self.path("target"))
        try SecretFile.write("key", to: self.path("key"))
        #expect(try SecretFile.read(self.path("target")) == "target")
        #expect(try SecretFile.read(self.path("key")) == "key")
    }

    @Test func whatCannotBeWrittenSaysSo() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        try SecretFile.makeFolder(self.folder)
        #expect(throws: SecretFile.WriteError(path: self.path("no/key"), number: ENOENT)) {
            try SecretFile.write("x", to: self.path("no/key"))
        }
        try SecretFile.write("x", to: self.path("file"))
        #expect(throws: SecretFile.WriteError(path: self.path("file"), number: ENOTDIR)) {
            try SecretFile.makeFolder(self.path("file"))
        }
        // A folder in the way: the file is not made, and nothing is left.
        try SecretFile.makeFolder(self.path("folder"))
        #expect(throws: SecretFile.WriteError(path: self.path("folder"), number: EISDIR)) {
            try SecretFile.write("x", to: self.path("folder"))
        }
        #expect(!FileManager.default.fileExists(atPath: self.path("folder.new")))
    }
}
