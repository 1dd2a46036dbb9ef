import Foundation
import Settings
import Testing

/// What needs real files: existence, kinds, sizes.
@Suite("Configuration files on disk")
final class FileTests {
    private let folder: URL

    init() throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("settings-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: self.folder)
    }

    private func write(_ name: String, _ bytes: Data) throws -> String {
        let url = self.folder.appendingPathComponent(name)
        try bytes.write(to: url)
        return url.path
    }

    private func headlines(_ path: String) -> [String] {
        do {
            return try Settings.load(path: path).warnings.map(\.headline)
        } catch {
            return error.diagnostics.map { $0.headline.replacingOccurrences(of: self.folder.path, with: "DIR") }
        }
    }

    @Test("Files that are named must be there, relative to the configuration file")
    func namedFiles() throws {
        let text = """
            role: keyholder
            listen: 127.0.0.1:4433
            identity: {certificate: e.pem, key: sub, authority: sub/a.pem}
            sites: [{certificate: e.pem/s.pem, key: open.key}, {certificate: e.pem, key: e.pem/none}]
            grants: []
            audit: missing/audit.jsonl
            """
        _ = try self.write("e.pem", Data("x".utf8))
        let key = try self.write("open.key", Data("x".utf8))
        try FileManager.default.setAttributes([.posixPermissions: 0o664], ofItemAtPath: key)
        try FileManager.default.createDirectory(
            at: self.folder.appendingPathComponent("sub"), withIntermediateDirectories: true)
        let path = try self.write("k.yaml", Data(text.utf8))
        #expect(
            self.headlines(path) == [
                "DIR/k.yaml:3:37: error: \"DIR/sub\" is not a regular file. Name a file.",
                "DIR/k.yaml:3:53: error: cannot read \"DIR/sub/a.pem\": there is no such file. "
                    + "Paths are relative to the configuration file; `latchstring certs` makes identities.",
                "DIR/k.yaml:4:23: error: cannot read \"DIR/e.pem/s.pem\": a part of the path is not a directory. "
                    + "Paths are relative to the configuration file; `latchstring certs` makes identities.",
                "DIR/k.yaml:4:41: error: other users can read and write the secret in \"DIR/open.key\" (mode 0664). "
                    + "Run chmod 600 DIR/open.key",
                "DIR/k.yaml:4:78: error: cannot read \"DIR/e.pem/none\": a part of the path is not a directory. "
                    + "Paths are relative to the configuration file; `latchstring certs` makes identities.",
                "DIR/k.yaml:6:8: error: cannot write \"DIR/missing/audit.jsonl\": there is no directory \"DIR/missing\". "
                    + "Make it, or name another.",
            ])
    }

    @Test("A configuration file that is missing, a folder, too large, or not text")
    func unreadable() throws {
        #expect(
            self.headlines(self.folder.path + "/none.yaml") == [
                "DIR/none.yaml: error: cannot read the file: there is no such file"
            ])
        #expect(
            self.headlines(self.folder.path) == ["DIR: error: cannot read the file: it is a directory. Name the file."])
        let large = try self.write("large.yaml", Data(repeating: 0x23, count: (1 << 20) + 1))
        #expect(
            self.headlines(large) == [
                "DIR/large.yaml: error: the file is larger than 1024 KiB. "
                    + "Is this the right file? Configuration files are small."
            ])
        let binary = try self.write("binary.yaml", Data("role: edge\nlisten: ".utf8) + Data([0xFF, 0xFE]))
        #expect(self.headlines(binary) == ["DIR/binary.yaml:2:9: error: the file is not UTF-8 text. Save it as UTF-8."])
    }

    @Test("Windows' line ends and a byte order mark, as some editors write them", arguments: ["", "\u{FEFF}"])
    func marks(mark: String) throws {
        let lines = [
            "role: edge", "listen: 127.0.0.1:8443", "sites:", "  - domains: [one.test]", "    mode: relay",
            "    origin: {address: 127.0.0.1:1}", "",
        ]
        let text = lines.joined(separator: "\r\n")
        let good = try self.write("good.yaml", Data((mark + text).utf8))
        #expect(self.headlines(good).isEmpty)
        let bad = try self.write("bad.yaml", Data((mark + "rule: edge\r\n" + text).utf8))
        #expect(self.headlines(bad).contains { $0.hasPrefix("DIR/bad.yaml:1:1: error: ") }, "\(self.headlines(bad))")
    }

    @Test(
        "Hostile YAML ends quickly with a complaint",
        arguments: [
            String(repeating: "[", count: 500_000),
            String(repeating: "{a: ", count: 200_000),
            "a:\n" + String(repeating: "- ", count: 300_000) + "x",
            String(repeating: "? ", count: 300_000),
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n? [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n: y\n",
            String(repeating: "k: v\n", count: 2000),
        ])
    func hostile(text: String) {
        #expect(throws: SettingsError.self) {
            try Settings.parse(text, file: "h.yaml", checkingFiles: false)
        }
    }
}
