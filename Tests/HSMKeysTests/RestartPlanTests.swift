import Testing

@testable import HSMKeys

@Suite("When workers are started again")
struct RestartPlanTests {
    @Test("The first that ends is replaced at once, then pauses double up to their bound")
    func pauses() {
        var plan = RestartPlan()
        #expect(plan.mayStart(now: 0))
        plan.failed(now: 100)
        #expect(plan.mayStart(now: 100))
        plan.failed(now: 100)
        #expect(!plan.mayStart(now: 100 + RestartPlan.first - 1))
        #expect(plan.mayStart(now: 100 + RestartPlan.first))
        plan.failed(now: 0)
        #expect(!plan.mayStart(now: 2 * RestartPlan.first - 1))
        for _ in 0..<1000 { plan.failed(now: 0) }
        #expect(!plan.mayStart(now: RestartPlan.ceiling - 1))
        #expect(plan.mayStart(now: RestartPlan.ceiling))
    }

    @Test("An answer ends the pauses")
    func success() {
        var plan = RestartPlan()
        for _ in 0..<5 { plan.failed(now: 0) }
        plan.succeeded()
        #expect(plan == RestartPlan())
    }
}

@Suite("Which PIN may be tried")
struct PINGateTests {
    static let token = PINGate.Token(label: "a", serial: "1")

    @Test("A refused PIN is tried again by no worker, and by a reload with another one alone")
    func refused() {
        var gate = PINGate()
        #expect(gate.mayTry([1], at: Self.token, .restart))
        gate.refused([1], Self.token)
        #expect(!gate.mayTry([1], at: Self.token, .restart))
        #expect(!gate.mayTry([2], at: Self.token, .restart))
        #expect(!gate.mayTry([1], at: Self.token, .load))
        #expect(gate.mayTry([2], at: Self.token, .load))
        // Another token's PIN is another matter.
        #expect(gate.mayTry([1], at: PINGate.Token(label: "a", serial: "2"), .restart))
        #expect(gate.took([2], Self.token) == true)
        #expect(gate.mayTry([2], at: Self.token, .restart))
        #expect(gate.isAccepted([2], Self.token))
    }

    @Test("A PIN that was good once and is refused now is not tried again")
    func changed() {
        var gate = PINGate()
        #expect(gate.took([1], Self.token) == true)
        gate.refused([1], Self.token)
        #expect(!gate.isAccepted([1], Self.token))
        #expect(!gate.mayTry([1], at: Self.token, .restart))
    }

    @Test("Several refused PINs are remembered, a bounded number, until the token takes another one than before")
    func several() {
        var gate = PINGate()
        #expect(gate.took([0], Self.token) == true)
        for pin: UInt8 in 1...3 { gate.refused([pin], Self.token) }
        for pin: UInt8 in 1...3 { #expect(!gate.mayTry([pin], at: Self.token, .load)) }
        // The one that it takes is as good as before.
        #expect(gate.mayTry([0], at: Self.token, .restart))
        #expect(!gate.mayTry([4], at: Self.token, .restart))
        #expect(gate.took([0], Self.token) == false)
        #expect(!gate.mayTry([1], at: Self.token, .load))
        for pin in 2...UInt8(PINGate.most + 1) { gate.refused([pin], Self.token) }
        #expect(gate.mayTry([1], at: Self.token, .load))
        for pin in 2...UInt8(PINGate.most + 1) { #expect(!gate.mayTry([pin], at: Self.token, .load)) }
        #expect(gate.took([1], Self.token) == true)
        #expect(gate.mayTry([2], at: Self.token, .load))
    }

    @Test("Without an answer, a PIN counts as refused unless the token has taken it before")
    func noAnswer() {
        var gate = PINGate()
        gate.gotNoAnswer([1], Self.token)
        #expect(!gate.mayTry([1], at: Self.token, .restart))
        #expect(gate.took([1], Self.token) == true)
        gate.gotNoAnswer([1], Self.token)
        #expect(gate.mayTry([1], at: Self.token, .restart))
    }
}
