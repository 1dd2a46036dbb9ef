import Testing

@testable import HSMWire

@Suite("What goes between a key holder and a worker")
struct WorkerFrameTests {
    static let requests: [WorkerRequest] = {
        var token = TokenSelection()
        token.label = "a token"
        token.serial = "12"
        token.slot = .max
        var key = KeySelection()
        key.id = [0, 255]
        var labelled = KeySelection()
        labelled.label = "é"
        return [
            .open(module: "/usr/lib/module.so", token: token), .open(module: "m", token: TokenSelection()),
            .login(pin: Array("1234".utf8)), .find(key), .find(labelled),
            .sign(key: 7, mechanism: .rsaPSSSHA384, data: [UInt8](repeating: 9, count: 48)),
        ]
    }()

    static let answers: [WorkerAnswer] = [
        .opened(TokenFacts(label: "a token", serial: "12", needsLogin: true, isLastTry: false)), .loggedIn,
        .found(key: 3), .signed([UInt8](repeating: 1, count: 512)),
        .failed(TokenFailure(.function, code: 0xA0, detail: "C_Login")),
    ]

    @Test("Requests come out as they went in", arguments: requests)
    func request(_ request: WorkerRequest) throws {
        let frame = try #require(request.encode(number: 77))
        #expect(WorkerFrame.length(Array(frame.prefix(4))) == frame.count - 4)
        let (number, decoded) = try WorkerRequest.decode(Array(frame.dropFirst(4)))
        #expect(number == 77)
        #expect(decoded == request)
    }

    @Test("Answers come out as they went in", arguments: answers)
    func answer(_ answer: WorkerAnswer) throws {
        let frame = answer.encode(number: 78)
        #expect(WorkerFrame.length(Array(frame.prefix(4))) == frame.count - 4)
        let (number, decoded) = try WorkerAnswer.decode(Array(frame.dropFirst(4)))
        #expect(number == 78)
        #expect(decoded == answer)
    }

    @Test("What is cut off, or has more behind it, is refused", arguments: answers)
    func cut(_ answer: WorkerAnswer) {
        let frame = Array(answer.encode(number: 1).dropFirst(4))
        for count in 0..<frame.count {
            #expect(throws: WorkerFrameError.self) { try WorkerAnswer.decode(Array(frame.prefix(count))) }
        }
        #expect(throws: WorkerFrameError.self) { try WorkerAnswer.decode(frame + [0]) }
    }

    @Test("Any bytes are an answer or refused, and no answer is longer than its bounds")
    func noise() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...80, using: &random)).map { index in
                index == 0 ? UInt8.random(in: 0...7, using: &random) : UInt8.random(in: 0...255, using: &random)
            }
            guard let (_, answer) = try? WorkerAnswer.decode(bytes) else { continue }
            if case .signed(let signature) = answer { #expect(signature.count <= bytes.count) }
            if case .failed(let failure) = answer {
                #expect(failure.detail.utf8.allSatisfy { (0x20...0x7E).contains($0) })
            }
        }
    }

    @Test(
        "Lengths are bounded before anything is set aside for them",
        arguments: [
            ([0, 0, 0, 0], nil), ([0, 0, 0, 4], nil), ([0, 0, 0, 5], 5), ([0, 0, 16, 0], 4096), ([0, 0, 16, 1], nil),
            ([255, 255, 255, 255], nil), ([0, 0, 5], nil),
        ] as [([UInt8], Int?)])
    func length(_ prefix: [UInt8], _ length: Int?) {
        #expect(WorkerFrame.length(prefix) == length)
    }

    @Test("A signature that is longer than any is refused")
    func longSignature() {
        var body = FieldWriter(kind: 4, number: 1, capacity: 0)
        body.write(field: [UInt8](repeating: 1, count: 513))
        let frame = body.frame()
        #expect(throws: WorkerFrameError.self) { try WorkerAnswer.decode(Array(frame.dropFirst(4))) }
    }

    @Test("A PIN that does not fit is not sent")
    func longPIN() {
        #expect(WorkerRequest.login(pin: [UInt8](repeating: 1, count: 256)).encode(number: 1) == nil)
    }

    @Test("What a module says goes into logs as printable ASCII")
    func text() throws {
        let frame = WorkerAnswer.failed(TokenFailure(.module, detail: "a\nb\u{1B}[31mé")).encode(number: 1)
        let (_, answer) = try WorkerAnswer.decode(Array(frame.dropFirst(4)))
        #expect(answer == .failed(TokenFailure(.module, detail: "a?b?[31m??")))
    }

    @Test("What a CK_RV means")
    func status() {
        #expect(TokenStatus(0xA0) == .pin)
        #expect(TokenStatus(0xA4) == .pin)
        #expect(TokenStatus(0x70) == .refused)
        for code: UInt64 in [0x05, 0x30, 0x32, 0xB3, 0xE0, 0x101, 0x190, 0x8000_0001] {
            #expect(TokenStatus(code) == .lost)
        }
    }
}
