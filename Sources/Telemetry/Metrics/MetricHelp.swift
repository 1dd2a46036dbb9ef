/// What each metric counts, in one line: the texts of `# HELP`. `docs/metrics.md` has the same names; a test compares them.
public enum MetricHelp {
    public static let lines: [String: String] = [
        "latchstring_accept_pauses_total":
            "Times that a listener stopped accepting for a while: the edge was full, or accept(2) failed "
            + "for want of descriptors or memory; key holders have it, too.",
        "latchstring_access_log_lines_dropped_total":
            "Lines of the access log that nothing took in time, or that the disk or log daemon refused.",
        "latchstring_build_info": "1; which program this is.",
        "latchstring_cache_background_revalidations_total": "Stale responses confirmed behind a client's back.",
        "latchstring_cache_bytes_total": "Bytes of bodies sent to clients.",
        "latchstring_cache_collapsed_total": "Requests that waited for another's response.",
        "latchstring_cache_disk_damages_total": "Stored bytes that were not what had been written.",
        "latchstring_cache_disk_failures_total": "Reads and writes that failed.",
        "latchstring_cache_disk_writable": "0 while nothing is written because a write failed.",
        "latchstring_cache_evictions_total": "Responses that made room for others.",
        "latchstring_cache_fills_total": "Responses fetched for the store.",
        "latchstring_cache_purges_total": "Purges, invalidations by unsafe requests included.",
        "latchstring_cache_requests_total": "What the cache did with each request.",
        "latchstring_cache_store_bytes":
            "What the stores hold; fills is on its way into memory, or read after its eviction.",
        "latchstring_cache_store_entries": "Responses stored.",
        "latchstring_edge_certificate_not_after_seconds": "When the certificate shown expires, Unix time.",
        "latchstring_edge_connections": "Clients connected now.",
        "latchstring_edge_connections_gave_way_total":
            "Connections closed in favour of a newer one: without a hello, in their handshake, at rest.",
        "latchstring_edge_connections_refused_total":
            "Connections closed because the client's network, the site or the edge has as many as it may, "
            + "or the edge is about to end.",
        "latchstring_edge_handshakes_total": "TLS handshakes of clients.",
        "latchstring_edge_handshakes_turned_away_total":
            "Handshakes for which no key holder was asked: over the rate of one client's network, too many "
            + "waiting, a turn that would come too late, no turn in time.",
        "latchstring_edge_handshakes_waiting":
            "Handshakes that wait for their turn: the grant is used up, or the key holder has as much to do "
            + "as it can.",
        "latchstring_edge_hello_rejected_total": "Connections that ended at their hello.",
        "latchstring_edge_http2_refused_total":
            "HTTP/2 connections, or single streams, ended for what the client did.",
        "latchstring_edge_identity_not_after_seconds":
            "When this edge's identity towards key holders expires, Unix time.",
        "latchstring_edge_key_requests_window":
            "Requests that may be under way at the key holder at once, on all event loops together; follows "
            + "how soon it answers.",
        "latchstring_edge_lease":
            "1 while the key holder leases the domain to this edge, else 0: then it is not served.",
        "latchstring_edge_leases_ended_total": "Leases that ended, or were not given.",
        "latchstring_edge_link_offers_refused_total":
            "Connections at listen-keyholders that were closed before a link came of them.",
        "latchstring_edge_ocsp_stapled": "1 while an OCSP response is shown beside the domain's certificate, else 0.",
        "latchstring_edge_native_bytes_total": "Bytes forwarded for native clients.",
        "latchstring_edge_native_connections_total": "Native connections forwarded to key holders.",
        "latchstring_edge_native_ended_total": "How native connections ended.",
        "latchstring_edge_native_failed_total": "Native clients whose key holder could not be reached.",
        "latchstring_edge_native_links_opened_total": "Links for native clients that have come about.",
        "latchstring_edge_native_links_ready": "Links that carry native clients, all event loops together.",
        "latchstring_edge_origin_connect_seconds": "Setting up a connection to the origin, TLS included.",
        "latchstring_edge_origin_connections":
            "Connections to the origin, unused ones and those being set up included.",
        "latchstring_edge_origin_connects_failed_total": "Connections to the origin that could not be set up.",
        "latchstring_edge_origin_failures_total":
            "Requests that ended in 502, 503 or 504, or were cut short; overloaded: no connection to the "
            + "origin was free, or its client had its share of them.",
        "latchstring_edge_origin_seconds":
            "From a request to the origin to the head of its answer, waiting for a connection included.",
        "latchstring_edge_relay_bytes_total": "Bytes relayed.",
        "latchstring_edge_relay_connections_total": "Relayed connections.",
        "latchstring_edge_relay_ended_total": "How relayed connections ended.",
        "latchstring_edge_relay_failed_total": "Clients that could not be relayed.",
        "latchstring_edge_request_seconds": "From a request's head to its response's end.",
        "latchstring_edge_requests_total": "HTTP requests.",
        "latchstring_edge_session_faults_total":
            "Sessions that ended for a fault after their handshake: a client that broke the protocol or sent an alert.",
        "latchstring_edge_slow_clients_total": "Requests given up because the client sent or took too little.",
        "latchstring_fleet_bus_losses_total": "Times that the bus was lost.",
        "latchstring_fleet_bus_up":
            "1 while the fleet's bus is there and all its purges have been read; only where there is a "
            + "fleet.",
        "latchstring_fleet_flushes_total": "Times that the edge could not be sure to have seen every purge.",
        "latchstring_fleet_orders_total": "Orders of the fleet that were done, and that were met again.",
        "latchstring_fleet_refused_total": "Entries that were refused.",
        "latchstring_fleet_reports_failed_total": "Acknowledgements and heartbeats that the bus did not take.",
        "latchstring_fleet_store_failures_total":
            "Attempts at a purge, or at noting it, that failed and were made again.",
        "latchstring_key_address_latency_seconds": "What an answer of this address takes, smoothed.",
        "latchstring_key_address_ready": "Links to this address that answer, all event loops together.",
        "latchstring_key_hedges_total": "Signatures for which a second address was asked, too.",
        "latchstring_key_links_ready": "Links that are up and leased, all event loops together.",
        "latchstring_key_request_seconds": "From request to answer.",
        "latchstring_key_requests_total": "Requests to key holders.",
        "latchstring_keyholder_audit_sequence": "The number of the last audit line that was written.",
        "latchstring_keyholder_certificate_next_order_seconds": "When the next one is ordered, Unix time.",
        "latchstring_keyholder_certificate_not_after_seconds":
            "When the certificate expires, Unix time; 0: there is none yet.",
        "latchstring_keyholder_certificate_orders_total": "Attempts to get a certificate.",
        "latchstring_keyholder_client_handshakes": "Handshakes with clients (handoff) under way now.",
        "latchstring_keyholder_connections": "Edges connected now.",
        "latchstring_keyholder_connections_refused_total": "Connections that were not accepted.",
        "latchstring_keyholder_dialled_down": "Addresses in dial without a link.",
        "latchstring_keyholder_dialled_links": "Links to edges that this key holder dials.",
        "latchstring_keyholder_dialled_offers": "Connections to them that they have not taken yet.",
        "latchstring_keyholder_dials_failed_total": "Connections to them that did not come about.",
        "latchstring_keyholder_ocsp_stapled":
            "1 while an OCSP response is shown beside each of the site's certificates, else 0.",
        "latchstring_keyholder_identity_not_after_seconds":
            "When this key holder's identity towards edges expires, Unix time.",
        "latchstring_keyholder_operation_seconds": "From a request's arrival to its answer.",
        "latchstring_keyholder_operations_total":
            "Operations; outcomes are those of the audit log: overloaded was refused early, past-deadline "
            + "dropped after it waited.",
        "latchstring_keyholder_sessions_exported_total": "Sessions that edges were lent.",
        "latchstring_log_lines_dropped_total": "Log lines that nothing took in time; key holders have it, too.",
        "latchstring_metrics_overflow_total": "Series that were not kept because a metric had too many label values.",
        "process_cpu_seconds_total": "Processor time, user and system.",
        "process_max_fds": "File descriptors that may be open.",
        "process_open_fds": "File descriptors that are open.",
        "process_resident_memory_bytes": "Memory that is in RAM.",
        "process_start_time_seconds": "When the process began, Unix time.",
        "process_threads": "Threads.",
        "process_virtual_memory_bytes": "Address space.",
    ]
}
