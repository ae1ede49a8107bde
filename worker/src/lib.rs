//! The edge host: a Cloudflare Worker, its adapters and the shells of its Durable Objects.
