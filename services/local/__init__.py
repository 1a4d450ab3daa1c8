"""The whole suite on one machine: an embedded Redis, the three services and a trainer worker over one data folder."""
