/// What a worker answers.
public enum WorkerAnswer: Equatable, Sendable {
    /// The token that was found, and whose session is open.
    case opened(TokenFacts)
    case loggedIn
    case found(key: UInt32)
    case signed([UInt8])
    case failed(TokenFailure)

    /// An RSA signature of 4096 bits.
    public static let longestSignature = 512

    /// A whole frame.
    public func encode(number: UInt32) -> [UInt8] {
        var body = FieldWriter(kind: self.kind, number: number, capacity: 0)
        switch self {
        case .opened(let facts):
            body.write(field: Array(facts.label.utf8.prefix(TokenFacts.longest)))
            body.write(field: Array(facts.serial.utf8.prefix(TokenFacts.longest)))
            body.write(UInt8(facts.needsLogin ? 1 : 0))
            body.write(UInt8(facts.isLastTry ? 1 : 0))
        case .loggedIn: break
        case .found(let key): body.write(key)
        case .signed(let signature):
            body.write(field: Array(signature.prefix(Self.longestSignature)))
        case .failed(let failure):
            body.write(failure.reason.rawValue)
            body.write(failure.code)
            body.write(field: Array(failure.detail.utf8.prefix(TokenFailure.longestDetail)))
        }
        return body.frame()
    }

    private var kind: UInt8 {
        switch self {
        case .opened: 1
        case .loggedIn: 2
        case .found: 3
        case .signed: 4
        case .failed: 5
        }
    }

    /// - Parameter frame: Without its length.
    public static func decode(_ frame: [UInt8]) throws(WorkerFrameError) -> (number: UInt32, answer: WorkerAnswer) {
        var reader = FieldReader(frame[...])
        let kind = try reader.number(UInt8.self)
        let number = try reader.number(UInt32.self)
        let answer: WorkerAnswer
        switch kind {
        case 1:
            let label = Self.printable(try reader.field(atMost: TokenFacts.longest))
            let serial = Self.printable(try reader.field(atMost: TokenFacts.longest))
            let needsLogin = try reader.number(UInt8.self)
            let isLastTry = try reader.number(UInt8.self)
            answer = .opened(
                TokenFacts(label: label, serial: serial, needsLogin: needsLogin != 0, isLastTry: isLastTry != 0))
        case 2: answer = .loggedIn
        case 3: answer = .found(key: try reader.number())
        case 4: answer = .signed(try reader.field(atMost: Self.longestSignature))
        case 5:
            guard let reason = TokenFailure.Reason(rawValue: try reader.number(UInt8.self)) else {
                throw WorkerFrameError()
            }
            let code = try reader.number(UInt64.self)
            let detail = Self.printable(try reader.field(atMost: TokenFailure.longestDetail))
            answer = .failed(TokenFailure(reason, code: code, detail: detail))
        default: throw WorkerFrameError()
        }
        try reader.end()
        return (number, answer)
    }

    /// What a module says goes into logs: printable ASCII, anything else as a question mark.
    private static func printable(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
    }
}

/// What a token says of itself.
public struct TokenFacts: Hashable, Sendable {
    public var label: String
    public var serial: String
    /// Its private keys are not seen without a PIN.
    public var needsLogin: Bool
    /// It locks itself after one more wrong PIN.
    public var isLastTry: Bool

    static let longest = 64

    public init(label: String, serial: String, needsLogin: Bool, isLastTry: Bool) {
        self.label = label
        self.serial = serial
        self.needsLogin = needsLogin
        self.isLastTry = isLastTry
    }
}

/// Why a worker could not do something.
public struct TokenFailure: Error, Equatable, Sendable {
    public enum Reason: UInt8, CaseIterable, Sendable {
        /// The module cannot be loaded, or is none.
        case module = 1
        /// A function of the module failed: `code` is what it returned.
        case function = 2
        case noToken = 3
        case severalTokens = 4
        case noKey = 5
        case severalKeys = 6
        /// `CKA_SIGN` is false.
        case keyDoesNotSign = 7
        /// `CKA_ALWAYS_AUTHENTICATE` is true.
        case keyAsksEachTime = 8
        /// The request makes no sense here.
        case request = 9
    }

    public var reason: Reason
    /// A `CK_RV`.
    public var code: UInt64
    /// The function's name, or what the loader says.
    public var detail: String

    static let longestDetail = 256

    public init(_ reason: Reason, code: UInt64 = 0, detail: String = "") {
        self.reason = reason
        self.code = code
        self.detail = detail
    }
}
