"""What ``/metrics`` tells: `catalogue` lists every metric, `collector` fills them in when they are asked for."""
