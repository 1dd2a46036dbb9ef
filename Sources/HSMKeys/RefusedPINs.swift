import Crypto
import CryptoExtras
import Hexadecimal
import SecretFiles
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// PINs that tokens refused, over restarts: a service that is started again and again by its supervisor must not lock its token.
///
/// A file under the rule for secrets, one line for each PIN, at most ``PINGate/most`` for a token, the latest last: label, serial number, a
/// salt and a hash of the PIN, all in hexadecimal. It is read at each look: it is seldom needed, and small.
///
/// PINs are short, and this file may be in a backup: so the hash is scrypt (RFC 7914), by which each try costs 32 MiB and some tenths
/// of a second, where a million tries of a plain hash are done in one. It is computed only where a token has a line, or gets one.
final class RefusedPINs: Sendable {
    private let path: String
    private let turn = Mutex(())

    init(path: String) {
        self.path = path
    }

    /// A PIN's line, to take it back.
    struct Note {
        fileprivate var line: Line
    }

    fileprivate struct Line: Equatable {
        var token: String
        var salt: [UInt8]
        var hash: [UInt8]

        /// With the hash's cost, so that another cost can be told apart one day.
        private static let scheme = "scrypt-32768-8-3"

        var text: String {
            "\(self.token) \(Self.scheme) \(Hex.text(self.salt)) \(Hex.text(self.hash))\n"
        }

        init(_ pin: [UInt8], _ token: PINGate.Token) throws(HSMError) {
            self.token = Self.name(token)
            self.salt = SymmetricKey(size: .bits128).withUnsafeBytes { Array($0) }
            self.hash = try Self.hash(pin, self.salt).withUnsafeBytes { Array($0) }
        }

        init?(_ text: Substring) {
            let words = text.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 5, words[2] == Self.scheme, let salt = Hex.bytes(words[3].utf8), !salt.isEmpty,
                let hash = Hex.bytes(words[4].utf8), !hash.isEmpty
            else { return nil }
            self.token = "\(words[0]) \(words[1])"
            self.salt = salt
            self.hash = hash
        }

        func isOf(_ pin: [UInt8]) throws(HSMError) -> Bool {
            // Compares in constant time.
            try Self.hash(pin, self.salt) == SymmetricKey(data: self.hash)
        }

        static func name(_ token: PINGate.Token) -> String {
            "\(Self.word(token.label.utf8)) \(Self.word(token.serial.utf8))"
        }

        /// Takes some tenths of a second.
        private static func hash(_ pin: [UInt8], _ salt: [UInt8]) throws(HSMError) -> SymmetricKey {
            do {
                return try KDF.Scrypt.deriveKey(
                    from: pin, salt: salt, outputByteCount: 32, rounds: 32_768, blockSize: 8, parallelism: 3)
            } catch {
                throw .memory("a PIN cannot be hashed: \(error)")
            }
        }

        /// A word is never empty.
        private static func word(_ bytes: some Collection<UInt8>) -> String {
            bytes.isEmpty ? "-" : Hex.text(bytes)
        }
    }

    func contains(_ pin: [UInt8], _ token: PINGate.Token) throws(HSMError) -> Bool {
        let name = Line.name(token)
        for line in try self.read() where line.token == name {
            if try line.isOf(pin) { return true }
        }
        return false
    }

    /// The token refuses the PIN, or is about to be asked.
    func note(_ pin: [UInt8], _ token: PINGate.Token) throws(HSMError) -> Note {
        let line = try Line(pin, token)
        try self.change { lines in
            let before = lines.filter { $0.token == line.token }
            lines = lines.filter { $0.token != line.token } + before.suffix(PINGate.most - 1) + [line]
        }
        return Note(line: line)
    }

    /// The token has not judged it.
    func takeBack(_ note: Note) throws(HSMError) {
        try self.change { lines in lines.removeAll { $0 == note.line } }
    }

    /// The token takes its PIN again.
    func clear(_ token: PINGate.Token) throws(HSMError) {
        let name = Line.name(token)
        try self.change { lines in lines.removeAll { $0.token == name } }
    }

    private func change(_ body: (inout [Line]) -> Void) throws(HSMError) {
        let result: Result<Void, HSMError> = self.turn.withLock { _ in
            Result { () throws(HSMError) in
                let before = try self.read()
                var lines = before
                body(&lines)
                if lines != before { try self.write(lines) }
            }
        }
        try result.get()
    }

    private func write(_ lines: [Line]) throws(HSMError) {
        do throws(SecretFile.WriteError) {
            try SecretFile.write(lines.map(\.text).joined(), to: self.path)
        } catch {
            throw .memory("\(error)")
        }
    }

    private func read() throws(HSMError) -> [Line] {
        let text: String
        do throws(SecretFileError) {
            text = try SecretFile.read(self.path)
        } catch {
            if error.reason == .system(ENOENT) { return [] }
            throw .memory("\(error)")
        }
        var lines: [Line] = []
        for part in text.split(separator: "\n") {
            guard let line = Line(part) else { throw .memory("\(self.path) has a line that is none; remove the file") }
            lines.append(line)
        }
        return lines
    }
}
