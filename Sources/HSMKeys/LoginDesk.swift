import Crypto
import HSMWire
import KeyHolder
import SecretFiles
import Synchronization
import TLSCrypto

/// Logs workers in, those of one token one after another, so that a PIN that turns out to be wrong was tried once. It is for all tokens
/// of a key holder: each has a turn of its own, so that one that does not answer holds up no other one.
final class LoginDesk: Sendable {
    private let gate = Mutex(PINGate())
    /// nil: a restart forgets.
    private let refused: RefusedPINs?
    /// Held while a token judges a PIN.
    private final class Turn: Sendable {
        let mutex = Mutex(())
    }

    private struct WeakTurn {
        weak var turn: Turn?
    }

    /// A turn lives as long as a login holds it or waits for it.
    private let turns = Mutex<[PINGate.Token: WeakTurn]>([:])
    /// Of the hashes by which PINs are known. Random, and in this process's memory alone: who finds a hash cannot try PINs by it.
    private let key = SymmetricKey(size: .bits256)

    init(refused: RefusedPINs?) {
        self.refused = refused
    }

    /// Whether the token took the PIN that the source has now, or there is none.
    func knows(_ facts: TokenFacts, _ source: PINSource?) throws(HSMError) -> Bool {
        guard let source else { return true }
        let pin = try PINReader.read(source)
        defer { SecretFile.wipe(pin) }
        let (hash, token) = (self.hash(pin), PINGate.Token(label: facts.label, serial: facts.serial))
        return self.gate.withLock { $0.isAccepted(hash, token) }
    }

    /// HMAC-SHA-256. swift-crypto's leaves a copy of the PIN where its state was; this one's state is erased.
    func hash(_ pin: [UInt8]) -> [UInt8] {
        let algorithm = HashAlgorithm.sha256
        return [UInt8](unsafeUninitializedCapacity: algorithm.length) { output, count in
            pin.withUnsafeBytes { pin in
                self.key.withUnsafeBytes { key in
                    algorithm.authenticate(pin, key: key, into: UnsafeMutableRawBufferPointer(output))
                }
            }
            count = algorithm.length
        }
    }

    /// - Parameter timeout: For the turn, and then for the token's answer; nanoseconds.
    func login(
        _ worker: inout WorkerProcess, to facts: TokenFacts, _ source: PINSource?, _ occasion: PINGate.Occasion,
        timeout: UInt64
    ) throws(HSMError) {
        guard let source else {
            guard facts.needsLogin else { return }
            throw .noPIN
        }
        let token = PINGate.Token(label: facts.label, serial: facts.serial)
        let turn: Turn = self.turn(of: token)
        // Where a login gets no answer, those that wait behind it do not each wait for one of their own.
        let latest: UInt64 = Clock.monotonic() + timeout
        let result: Result<WorkerProcess, HSMError> = turn.mutex.withLock { _ in
            var copy = worker
            return Result { () throws(HSMError) in
                guard Clock.monotonic() < latest else { throw .loginBusy }
                try self.loginInTurn(&copy, to: token, facts, source, occasion, timeout)
                return copy
            }
        }
        worker = try result.get()
    }

    private func turn(of token: PINGate.Token) -> Turn {
        self.turns.withLock { turns in
            turns = turns.filter { $0.value.turn != nil }
            if let turn = turns[token]?.turn { return turn }
            let turn = Turn()
            turns[token] = WeakTurn(turn: turn)
            return turn
        }
    }

    private func loginInTurn(
        _ worker: inout WorkerProcess, to token: PINGate.Token, _ facts: TokenFacts, _ source: PINSource,
        _ occasion: PINGate.Occasion, _ timeout: UInt64
    ) throws(HSMError) {
        let pin = try PINReader.read(source)
        defer { SecretFile.wipe(pin) }
        let hash = self.hash(pin)
        guard self.gate.withLock({ $0.mayTry(hash, at: token, occasion) }) else { throw .pinRefusedBefore }
        guard try self.refused?.contains(pin, token) != true else { throw .pinRefusedBefore }
        guard !facts.isLastTry else { throw .pinLastTry }
        // Before the token judges it: what cannot be remembered is not tried, and an end meanwhile has no other process try it again.
        let isAccepted: Bool = self.gate.withLock { $0.isAccepted(hash, token) }
        let note: RefusedPINs.Note? = try isAccepted ? nil : self.refused?.note(pin, token)
        do throws(HSMError) {
            try worker.login(pin, deadline: Clock.monotonic() + timeout)
        } catch {
            let isRefused: Bool = self.gate.withLock { gate in
                switch error {
                case .failure(let failure) where TokenStatus.judgesNoPIN(failure.code): return false
                case .failure(let failure) where TokenStatus(failure.code) == .pin: gate.refused(hash, token)
                default: gate.gotNoAnswer(hash, token)
                }
                return !gate.mayTry(hash, at: token, .load)
            }
            switch (isRefused, note) {
            case (true, nil): _ = try self.refused?.note(pin, token)
            case (false, let note?): try self.refused?.takeBack(note)
            case (true, _), (false, nil): break
            }
            throw error
        }
        if self.gate.withLock({ $0.took(hash, token) }) { try self.refused?.clear(token) }
    }
}
