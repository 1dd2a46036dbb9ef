/// What a `CK_RV` means for the key holder (PKCS #11 2.40, section 5.1).
public enum TokenStatus {
    /// It is about what was asked: the session is as it was.
    case refused
    /// The session, the token or the module is of no use any more.
    case lost
    /// The PIN was not taken.
    case pin

    public init(_ code: UInt64) {
        self =
            switch code {
            // CKR_PIN_INCORRECT, _INVALID, _LEN_RANGE, _EXPIRED, _LOCKED, CKR_USER_PIN_NOT_INITIALIZED
            case 0xA0...0xA4, 0x102: .pin
            // CKR_ARGUMENTS_BAD, CKR_DATA_INVALID, CKR_DATA_LEN_RANGE
            case 0x07, 0x20, 0x21: .refused
            // CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_SIZE_RANGE, _TYPE_INCONSISTENT, _FUNCTION_NOT_PERMITTED
            case 0x54, 0x62, 0x63, 0x68: .refused
            // CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID
            case 0x70, 0x71: .refused
            // Whatever else there is, among it CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_HANDLE_INVALID and
            // CKR_USER_NOT_LOGGED_IN: a new process finds out.
            default: .lost
            }
    }

    /// A login that ended so was no try of its PIN: there was no session, token or module to try it at. Of any other failure, a
    /// vendor's own among them, that is not known.
    public static func judgesNoPIN(_ code: UInt64) -> Bool {
        switch code {
        // CKR_SLOT_ID_INVALID, CKR_DEVICE_REMOVED, CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT,
        // CKR_TOKEN_NOT_RECOGNIZED, CKR_CRYPTOKI_NOT_INITIALIZED
        case 0x03, 0x32, 0xB0, 0xB3, 0xE0, 0xE1, 0x190: true
        default: false
        }
    }

    /// The name of a common one, else its number.
    public static func name(_ code: UInt64) -> String {
        Self.names[code] ?? "CK_RV 0x\(String(code, radix: 16))"
    }

    private static let names: [UInt64: String] = [
        0x01: "CKR_CANCEL", 0x02: "CKR_HOST_MEMORY", 0x03: "CKR_SLOT_ID_INVALID", 0x05: "CKR_GENERAL_ERROR",
        0x06: "CKR_FUNCTION_FAILED", 0x07: "CKR_ARGUMENTS_BAD", 0x08: "CKR_NO_EVENT", 0x0A: "CKR_CANT_LOCK",
        0x12: "CKR_ATTRIBUTE_TYPE_INVALID", 0x20: "CKR_DATA_INVALID", 0x21: "CKR_DATA_LEN_RANGE",
        0x30: "CKR_DEVICE_ERROR", 0x31: "CKR_DEVICE_MEMORY", 0x32: "CKR_DEVICE_REMOVED",
        0x54: "CKR_FUNCTION_NOT_SUPPORTED", 0x60: "CKR_KEY_HANDLE_INVALID", 0x62: "CKR_KEY_SIZE_RANGE",
        0x63: "CKR_KEY_TYPE_INCONSISTENT", 0x68: "CKR_KEY_FUNCTION_NOT_PERMITTED", 0x70: "CKR_MECHANISM_INVALID",
        0x71: "CKR_MECHANISM_PARAM_INVALID", 0x82: "CKR_OBJECT_HANDLE_INVALID", 0x90: "CKR_OPERATION_ACTIVE",
        0x91: "CKR_OPERATION_NOT_INITIALIZED", 0xA0: "CKR_PIN_INCORRECT", 0xA1: "CKR_PIN_INVALID",
        0xA2: "CKR_PIN_LEN_RANGE", 0xA3: "CKR_PIN_EXPIRED", 0xA4: "CKR_PIN_LOCKED", 0xB0: "CKR_SESSION_CLOSED",
        0xB1: "CKR_SESSION_COUNT", 0xB3: "CKR_SESSION_HANDLE_INVALID", 0xE0: "CKR_TOKEN_NOT_PRESENT",
        0xE1: "CKR_TOKEN_NOT_RECOGNIZED", 0x100: "CKR_USER_ALREADY_LOGGED_IN", 0x101: "CKR_USER_NOT_LOGGED_IN",
        0x102: "CKR_USER_PIN_NOT_INITIALIZED", 0x103: "CKR_USER_TYPE_INVALID", 0x150: "CKR_BUFFER_TOO_SMALL",
        0x190: "CKR_CRYPTOKI_NOT_INITIALIZED", 0x191: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
    ]
}
