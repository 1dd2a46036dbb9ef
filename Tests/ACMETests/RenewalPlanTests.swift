import Foundation
import TestDirectory
import Testing

@testable import ACME

/// When to order.
@Suite struct RenewalPlanTests {
    static let names = ["www.test"]

    /// A certificate of 100,000 s, as from a directory.
    static func chain() throws -> IssuedChain {
        let directory = try TestDirectory()
        directory.set { $0.validity = -3600...96_400 }
        var client = Client(directory)
        return try client.run(Client.request(directory))
    }

    static func information(_ start: Int64, _ end: Int64, nextLook: Int64) -> RenewalInformation {
        RenewalInformation(start: start, end: end, explanation: nil, nextLook: nextLook)
    }

    @Test func withoutACertificateAtOnce() throws {
        let plan = RenewalPlan()
        #expect(plan.due(nil, names: Self.names, percent: 66) == 0)
        let key = SiteKey()
        let placeholder = try IssuedChain(
            stored: try Placeholder.pem(for: Self.names, key: key, now: 1_800_000_000_000))
        #expect(placeholder.isPlaceholder)
        #expect(plan.due(placeholder, names: Self.names, percent: 66) == 0)
        #expect(!plan.wantsInformation(of: placeholder, now: 0))
    }

    @Test func byAShareOfTheLife() throws {
        let chain = try Self.chain()
        let plan = RenewalPlan()
        #expect(plan.due(chain, names: Self.names, percent: 66) == chain.notBefore + 66_000_000)
        #expect(plan.due(chain, names: Self.names, percent: 10) == chain.notBefore + 10_000_000)
        // Other names are a reason of their own.
        #expect(plan.due(chain, names: ["www.test", "api.test"], percent: 66) == 0)
    }

    @Test func bySuggestion() throws {
        let chain = try Self.chain()
        let now = chain.notBefore
        var plan = RenewalPlan()
        #expect(plan.wantsInformation(of: chain, now: now))
        #expect(plan.next(chain, names: Self.names, percent: 66) == 0)
        plan.suggested(Self.information(now + 1000, now + 2000, nextLook: now + 500), for: chain, share: 0.5)
        #expect(!plan.wantsInformation(of: chain, now: now))
        #expect(plan.due(chain, names: Self.names, percent: 66) == now + 1500)
        #expect(plan.next(chain, names: Self.names, percent: 66) == now + 500)
        // The same window draws nothing new; another does.
        #expect(plan.wantsInformation(of: chain, now: now + 500))
        plan.suggested(Self.information(now + 1000, now + 2000, nextLook: now + 900), for: chain, share: 0)
        #expect(plan.due(chain, names: Self.names, percent: 66) == now + 1500)
        plan.suggested(Self.information(now - 2000, now - 1000, nextLook: now + 999), for: chain, share: 0)
        #expect(plan.due(chain, names: Self.names, percent: 66) == now - 2000)
        // Never behind the end.
        plan.suggested(
            Self.information(now + 200_000_000, now + 300_000_000, nextLook: now + 999), for: chain, share: 0)
        #expect(plan.due(chain, names: Self.names, percent: 66) == now + 95_000_000)
    }

    @Test func aDirectoryWithoutInformationIsAskedAgainLater() throws {
        let chain = try Self.chain()
        let now = chain.notBefore
        var plan = RenewalPlan()
        plan.gotNoInformation(for: chain, now: now)
        #expect(!plan.wantsInformation(of: chain, now: now))
        #expect(plan.due(chain, names: Self.names, percent: 66) == now + 66_000_000)
        plan.suggested(Self.information(now + 1000, now + 2000, nextLook: now + 500), for: chain, share: 0.5)
        plan.gotNoInformation(for: chain, now: now + 500)
        #expect(plan.due(chain, names: Self.names, percent: 66) == now + 1500)
    }

    @Test func failuresBackOff() throws {
        var plan = RenewalPlan()
        let failure = ACMEFailure(.unreachable("refused"))
        var pauses: [Int64] = []
        for _ in 0..<8 {
            plan.failed(failure, now: 1_000_000, share: 0.5)
            pauses.append(plan.due(nil, names: Self.names, percent: 66) - 1_000_000)
        }
        #expect(pauses == [60, 240, 960, 3840, 15_360, 21_600, 21_600, 21_600].map { $0 * 1000 })
        plan.failed(failure, now: 0, share: 0)
        #expect(plan.due(nil, names: Self.names, percent: 66) == 16_200_000)
        plan.failed(failure, now: 0, share: 1)
        #expect(plan.due(nil, names: Self.names, percent: 66) == 27_000_000)
        plan.succeeded()
        #expect(plan.due(nil, names: Self.names, percent: 66) == 0)
        #expect(plan.failures == 0)
    }

    @Test func itOutlivesARestart() throws {
        let chain = try Self.chain()
        var plan = RenewalPlan()
        plan.suggested(Self.information(1000, 2000, nextLook: 500), for: chain, share: 0.5)
        plan.failed(ACMEFailure(.timedOut("x")), now: 0, share: 0.5)
        let data = try JSONEncoder().encode(plan)
        #expect(try JSONDecoder().decode(RenewalPlan.self, from: data) == plan)
    }

    @Test func whatADirectorySuggests() throws {
        func read(_ text: String, _ fields: [String: String] = [:], status: Int = 200) throws -> RenewalInformation {
            try RenewalInformation(
                ACMEResponse(status: status, fields: fields, body: Array(text.utf8)), now: 1_609_632_000_000)
        }
        let good =
            #"{"suggestedWindow":{"start":"2021-01-03T00:00:00Z","end":"2021-01-07T00:00:00Z"},"explanationURL":"https://x.test/why"}"#
        let one = try read(good, ["retry-after": "7200"])
        #expect(one.start == 1_609_632_000_000 && one.end == 1_609_977_600_000)
        #expect(one.nextLook == 1_609_632_000_000 + 7_200_000)
        #expect(one.explanation == "https://x.test/why")
        #expect(try read(good).nextLook == 1_609_632_000_000 + 21_600_000)
        #expect(try read(good, ["retry-after": "1"]).nextLook == 1_609_632_000_000 + 60_000)
        #expect(try read(good, ["retry-after": "9999999"]).nextLook == 1_609_632_000_000 + 86_400_000)
        #expect(throws: ACMEFailure.self) { try read(good, status: 404) }
        let backwards = #"{"suggestedWindow":{"start":"2021-01-07T00:00:00Z","end":"2021-01-03T00:00:00Z"}}"#
        #expect(throws: ACMEFailure.self) { try read(backwards) }
        #expect(throws: ACMEFailure.self) { try read(#"{"suggestedWindow":{"start":"now","end":"then"}}"#) }
    }
}
