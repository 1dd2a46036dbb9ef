import Testing

@testable import EdgeTLS

@Suite struct RefreshPlanTests {
    @Test func laterWishesNeverPutAFetchOff() {
        var plan = RefreshPlan()
        plan.fetched(next: 60_000)
        let first = plan.want(by: 250)
        #expect(first)
        // Every handshake of a busy site asks again.
        let later = (1...1000).filter { plan.want(by: Int64($0) * 10 + 250) }
        #expect(later.isEmpty)
        #expect(plan.due == 250)
    }

    @Test func aWishDuringAFetchIsKeptForAfterIt() {
        var plan = RefreshPlan()
        _ = plan.fired()
        let wishes = [plan.want(by: 300), plan.want(by: 500)]
        #expect(wishes == [false, false])
        plan.fetched(next: 60_000)
        #expect(plan.due == 300)
        plan.fetched(next: 60_000)
        #expect(plan.due == 60_000)
    }

    @Test func oneFetchAtATime() {
        var plan = RefreshPlan()
        let first = plan.fired()
        let second = plan.fired()
        #expect(first && !second)
        plan.fetched(next: 10)
        let third = plan.fired()
        #expect(third)
    }
}
