import CPKCS11
import HSMWire
import HSMWorker
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A worker whose module has faults: those that a file names, which the environment names in `TEST_FAULTS`; with `@LABEL` behind it, of
/// that token alone. Beside that file, one with `.log` behind its name gets a line for each call that tests count.
@main
enum HSMTestWorker {
    /// Where the module's own functions are.
    static let original = Mutex<UInt>(0)
    /// Of the token.
    static let slot = Mutex<CK_SLOT_ID>(0)

    static func main() {
        WorkerLoop.run { path throws(TokenFailure) in
            var functions = try ModuleFunctions.load(path)
            let copy = UnsafeMutablePointer<CK_FUNCTION_LIST>.allocate(capacity: 1)
            copy.initialize(to: functions.list)
            Self.original.withLock { $0 = UInt(bitPattern: copy) }
            functions.list.C_OpenSession = { slot, flags, application, notify, session in
                HSMTestWorker.slot.withLock { $0 = slot }
                return HSMTestWorker.functions.C_OpenSession?(slot, flags, application, notify, session)
                    ?? CK_RV(CKR_GENERAL_ERROR)
            }
            functions.list.C_Login = { session, user, pin, length in
                HSMTestWorker.note("login")
                switch HSMTestWorker.fault {
                case "login-hangs": while true { sleep(1) }
                case "login-crashes": abort()
                default: return HSMTestWorker.functions.C_Login?(session, user, pin, length) ?? CK_RV(CKR_GENERAL_ERROR)
                }
            }
            functions.list.C_Sign = { session, data, dataLength, signature, length in
                HSMTestWorker.note("sign")
                let code =
                    HSMTestWorker.functions.C_Sign?(session, data, dataLength, signature, length)
                    ?? CK_RV(CKR_GENERAL_ERROR)
                switch HSMTestWorker.fault {
                case "hangs": while true { sleep(1) }
                case "crashes": abort()
                case "crashes-once":
                    HSMTestWorker.mend()
                    abort()
                case "removed-once":
                    HSMTestWorker.mend()
                    return CK_RV(CKR_DEVICE_REMOVED)
                case "session-gone-once":
                    HSMTestWorker.mend()
                    return CK_RV(CKR_SESSION_HANDLE_INVALID)
                case "logged-out-once":
                    HSMTestWorker.mend()
                    return CK_RV(CKR_USER_NOT_LOGGED_IN)
                case "not-present": return CK_RV(CKR_TOKEN_NOT_PRESENT)
                case "no-mechanism": return CK_RV(CKR_MECHANISM_INVALID)
                case "wrong": signature?[10] ^= 1
                case "long": length?.pointee = 1 << 40
                case "short": length?.pointee = 3
                default: break
                }
                return code
            }
            return functions
        }
    }

    private static var functions: CK_FUNCTION_LIST {
        let address = Self.original.withLock { $0 }
        return UnsafePointer<CK_FUNCTION_LIST>(bitPattern: address)?.pointee ?? CK_FUNCTION_LIST()
    }

    private static var path: String { getenv("TEST_FAULTS").map { String(cString: $0) } ?? "/dev/null" }

    private static var fault: String {
        guard let file = fopen(Self.path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = fread(&bytes, 1, bytes.count, file)
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "@")
        guard words.count == 2 else { return words.first.map(String.init) ?? "" }
        return words[1] == Self.label ? String(words[0]) : ""
    }

    /// Of the token, without the blanks that fill it up.
    private static var label: String {
        var information = CK_TOKEN_INFO()
        guard Self.functions.C_GetTokenInfo?(Self.slot.withLock { $0 }, &information) == CKR_OK else { return "" }
        let text = withUnsafeBytes(of: information.label) { String(decoding: $0, as: UTF8.self) }
        return String(text.prefix { $0 != " " && $0 != "\0" })
    }

    private static func mend() { unlink(Self.path) }

    private static func note(_ line: String) {
        guard let file = fopen("\(Self.path).log", "a") else { return }
        fputs("\(line)\n", file)
        fclose(file)
    }
}
