"""A fleet: many processes of one environment share one stream and one fetch, through Redis."""
