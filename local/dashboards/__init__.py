"""The dashboards of Grafana, described in Python: `make dashboards` writes deploy/grafana/dashboards/.

`grafana.py` turns a description into Grafana's JSON; each other module is one dashboard.
"""
