import HSMWire
import SecretFiles

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads a PIN when it is needed. It is kept nowhere.
enum PINReader {
    /// The caller wipes it.
    static func read(_ source: PINSource) throws(HSMError) -> [UInt8] {
        let path: String
        switch source {
        case .file(let file): path = file
        case .credential(let name):
            guard let folder = getenv("CREDENTIALS_DIRECTORY").map({ String(cString: $0) }), folder.hasPrefix("/")
            else { throw .noCredentials(name) }
            path = "\(folder)/\(name)"
        }
        let bytes: [UInt8]
        do throws(SecretFileError) { bytes = try SecretFile.bytes(path) } catch { throw .pinFile(error) }
        defer { SecretFile.wipe(bytes) }
        let line = bytes.last == 0x0A ? bytes.dropLast() : bytes[...]
        let pin = line.last == 0x0D ? line.dropLast() : line
        guard (1...WorkerRequest.longestPIN).contains(pin.count) else { throw .pinForm }
        // Storage of its own: `Array(pin)` would be that of the file, where the slice covers all of it, and that is wiped.
        return [UInt8](unsafeUninitializedCapacity: pin.count) { $1 = $0.initialize(fromContentsOf: pin) }
    }
}
